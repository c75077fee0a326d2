// What the pages do with scripts. Without them everything but "not interested" and the counting of views works too.

import { record, tell } from "./events.js";
import "./panel.js";

document.documentElement.classList.add("js");

arrive();
watchSlates();
document.addEventListener("click", dismiss);
document.addEventListener("submit", addToBasket);
addArrows();
closeMenus();

/** A product page opened from a list is a click on that list, credited to its answer; else it is a view. Once. */
function arrive() {
  const { product, fromAnswer, fromPosition } = document.body.dataset;
  if (!product) return;
  const address = new URL(location.href);
  const isSearch = address.searchParams.get("from") === "search";
  const position = Number(address.searchParams.get("pos")) || undefined;
  // A shared or reloaded address must not credit the list again.
  if (address.search) history.replaceState(history.state, "", address.pathname);
  const [navigation] = performance.getEntriesByType("navigation");
  if (navigation && navigation.type !== "navigate") return;
  if (fromAnswer) {
    // One click per place of an answer, however often the address is opened.
    record({
      event_id: `web-click-${fromAnswer}-${fromPosition}`.slice(0, 256),
      type: "click",
      item_id: product,
      answer_id: fromAnswer,
      position: Number(fromPosition),
    });
  } else if (isSearch) {
    record({ type: "click", item_id: product, position, context: { from: "search" } });
  } else {
    record({ type: "view", item_id: product });
  }
}

/** An item counts as seen when half of its tile was in view for a second; once per answer. */
function watchSlates() {
  const SEEN_MS = 1000;
  const seen = new Set();
  const pending = new Map();
  const timers = new Map();
  let sending = 0;

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, intersectionRatio } of entries) {
        if (intersectionRatio >= 0.5 && !timers.has(target)) {
          timers.set(target, setTimeout(() => see(target), SEEN_MS));
        } else if (intersectionRatio < 0.5) {
          clearTimeout(timers.get(target));
          timers.delete(target);
        }
      }
    },
    { threshold: [0, 0.5] },
  );
  for (const card of document.querySelectorAll("[data-answer]")) watcher.observe(card);

  function see(card) {
    watcher.unobserve(card);
    const { answer, item, pos } = card.dataset;
    const place = `${answer}|${item}`;
    if (document.visibilityState !== "visible" || seen.has(place)) return;
    seen.add(place);
    if (!pending.has(answer)) pending.set(answer, []);
    pending.get(answer).push({ item_id: item, position: Number(pos) });
    sending ||= setTimeout(send, 2000);
  }

  function send() {
    clearTimeout(sending);
    sending = 0;
    for (const [answer, items] of pending) record({ type: "impression", answer_id: answer, items }, 500);
    pending.clear();
  }
  // Registered after the outbox's own listener would be too late; capture runs first.
  addEventListener("pagehide", send, { capture: true });
}

/** "Not interested": the tile fades, its row closes up. */
function dismiss({ target }) {
  const button = target.closest?.(".card__dismiss");
  if (!button) return;
  const card = button.closest(".card");
  const { item, answer, pos } = card.dataset;
  record({ type: "dismiss", item_id: item, ...(answer ? { answer_id: answer, position: Number(pos) } : {}) });
  const neighbour = card.nextElementSibling ?? card.previousElementSibling;
  const row = card.closest(".row");
  card.classList.add("is-leaving");
  setTimeout(() => {
    card.remove();
    if (!row.querySelector(".card")) row.remove();
    else neighbour?.querySelector("a")?.focus({ preventScroll: true });
  }, 350);
}

/** Sends the form in the background and says what happened. */
async function addToBasket(submit) {
  const form = submit.target;
  if (!form.matches?.("form.add")) return;
  submit.preventDefault();
  const button = form.querySelector("button");
  const said = document.querySelector(".add__said");
  button.disabled = true;
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    if (!response.ok) throw new Error(`${response.status}`);
    const answer = await response.json();
    if (!answer.fits) {
      said.textContent = "Your basket is full: it holds only so many different things.";
    } else {
      setCount(answer.n_pieces);
      said.innerHTML = 'In the basket. <a href="/basket">Have a look</a>';
      if (answer.recorded) tell([{ type: "cart", item_id: form.elements.item_id.value }]);
      else record(answer.event);
    }
  } catch {
    said.textContent = "The shop is not answering just now; nothing was added. Please try again.";
  }
  button.disabled = false;
}

function setCount(n) {
  const count = document.querySelector(".basket-link__n");
  count.textContent = n;
  count.classList.toggle("is-empty", n === 0);
  count.classList.remove("is-hopping");
  requestAnimationFrame(() => count.classList.add("is-hopping"));
}

/** Arrows for rows that are wider than the page, for those who have no finger to swipe. */
function addArrows() {
  for (const row of document.querySelectorAll(".row")) {
    const list = row.querySelector(".row__cards");
    const arrows = document.createElement("div");
    arrows.className = "row__arrows";
    const update = () => {
      arrows.hidden = list.scrollWidth <= list.clientWidth + 4;
      arrows.firstChild.disabled = list.scrollLeft < 4;
      arrows.lastChild.disabled = list.scrollLeft + list.clientWidth > list.scrollWidth - 4;
    };
    for (const [sign, label, way] of [["‹", "Back", -1], ["›", "Further", 1]]) {
      const arrow = document.createElement("button");
      arrow.type = "button";
      arrow.textContent = sign;
      arrow.setAttribute("aria-label", `${label} in ${row.getAttribute("aria-label")}`);
      arrow.addEventListener("click", () => list.scrollBy({ left: way * list.clientWidth * 0.8, behavior: calm() }));
      arrows.append(arrow);
    }
    row.querySelector(".row__head").append(arrows);
    list.addEventListener("scroll", update, { passive: true });
    new ResizeObserver(update).observe(list);
  }
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

function closeMenus() {
  const menu = document.querySelector("details.as");
  document.addEventListener("click", ({ target }) => {
    if (menu.open && !menu.contains(target)) menu.open = false;
  });
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}
