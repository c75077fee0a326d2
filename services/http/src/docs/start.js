"use strict";

SwaggerUIBundle({
  url: "./openapi.json",
  domNode: document.getElementById("viewer"),
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  // The document goes nowhere to be checked.
  validatorUrl: null,
});
