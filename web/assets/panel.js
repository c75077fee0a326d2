// "What the system knows": opening, closing, and renewing it when the system has counted something.

const panel = document.getElementById("knows");
const person = document.getElementById("knows-person");
const flash = panel.querySelector(".knows__flash");
const toggle = document.querySelector(".knows-toggle");
const button = toggle.querySelector("button");
const { user, session } = document.body.dataset;
const KEY = "waggle.known";
/** Waits before asking again while an acknowledged event has not shown yet, in milliseconds. */
const WAITS = [0, 120, 300, 800, 2000];

let renewing = null;
let again = false;

toggle.addEventListener("submit", (submit) => {
  submit.preventDefault();
  setOpen(panel.hidden);
});
addEventListener("keydown", (key) => {
  if (key.key === "Escape" && !panel.hidden && panel.contains(document.activeElement)) {
    setOpen(false);
    button.focus();
  }
});

function setOpen(isOpen) {
  panel.hidden = !isOpen;
  panel.classList.toggle("is-opening", isOpen);
  document.documentElement.classList.toggle("knows-open", isOpen);
  button.setAttribute("aria-expanded", String(isOpen));
  toggle.elements.open.value = isOpen ? "0" : "1";
  button.classList.remove("has-news");
  const form = new URLSearchParams({ open: isOpen ? "1" : "0", back: "/about" });
  fetch("/panel", { method: "POST", body: form, redirect: "manual", keepalive: true }).catch(() => {});
}

/** Events whose effect the profile shows. */
const SHOWN = new Set(["view", "click", "cart", "purchase", "purchase_cancelled", "dismiss", "like", "dislike", "rating"]);

document.addEventListener("waggle:counted", ({ detail }) => {
  const counted = detail.events.filter((event) => SHOWN.has(event.type));
  if (counted.length > 0) renew(true);
});

/** Fetches the person's part until it has changed, or a few times. One at a time; a call meanwhile asks for one more. */
async function renew(expectsChange, before = events()) {
  if (renewing) {
    again = true;
    return;
  }
  renewing = (async () => {
    for (const wait of WAITS) {
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      const html = await fetch("/knows").then((r) => (r.ok ? r.text() : null)).catch(() => null);
      if (html === null) continue;
      const next = new DOMParser().parseFromString(html, "text/html").querySelector(".person");
      const isChanged = next?.dataset.events !== person.querySelector(".person")?.dataset.events;
      if (next && (isChanged || !expectsChange)) {
        show(next, before);
        break;
      }
    }
  })();
  await renewing;
  renewing = null;
  if (again) {
    again = false;
    renew(true);
  }
}

function show(next, before) {
  person.replaceChildren(document.adoptNode(next));
  highlight(before);
}

/** Marks what is new since `before` and says so. */
function highlight(before) {
  const fresh = [...person.querySelectorAll("[data-key]")].filter((event) => !before.has(event.dataset.key));
  remember();
  if (before.size === 0 && fresh.length > 1) return;
  for (const event of fresh) event.classList.add("is-new");
  if (fresh.length > 0) {
    flash.textContent = "Counted just now. Your next page already knows.";
    flash.hidden = false;
    if (panel.hidden) button.classList.add("has-news");
  }
}

function events() {
  return new Set([...person.querySelectorAll("[data-key]")].map((event) => event.dataset.key));
}

/** What this tab has shown of this person, so that the next page can tell what is new. */
function remember() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ who: `${user}|${session}`, keys: [...events()] }));
  } catch {
    // Without storage nothing is marked after a change of page.
  }
}

function remembered() {
  try {
    const known = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return known?.who === `${user}|${session}` ? new Set(known.keys) : null;
  } catch {
    return null;
  }
}

const known = remembered();
if (known) highlight(known);
else remember();
// The server has just sent events that this page may have been too early for.
if (document.body.dataset.fresh) renew(false, known ?? events());
