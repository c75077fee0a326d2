"""How schemathesis writes and reads what it does not know by itself."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, text):
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")


@schemathesis.deserializer("image/png")
def png(context, response):
    return response.content
