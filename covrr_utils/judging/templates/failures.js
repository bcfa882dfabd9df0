// Sorting, searching and filtering; the address after # holds all of it, so that a view can be shared:
// #triplet-67 is a card, #stage=trace&sort=worst&q=kettle a view, and both can stand together.
"use strict";
const form = document.querySelector("form.bar"), list = document.getElementById("cards");
const cards = [...list.children], none = document.getElementById("none"), count = document.getElementById("count");
const fields = [...form.elements].filter(field => field.name && field.type !== "button");
const texts = new Map(); // of a card, lower case; read at the first search only

const stages = [...form.elements.stage?.options ?? []].map(option => option.value);
const rank = card => card.dataset.rank === "" ? Infinity : Number(card.dataset.rank);
const by = (value, then) => (a, b) => value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : then(a, b);
const placed = (a, b) => a.dataset.number - b.dataset.number;
const orders = {
  "": placed,
  best: by(rank, placed),
  worst: by(card => -rank(card), placed),
  stage: by(card => stages.indexOf(card.dataset.stage), by(rank, placed)),
  kind: by(card => card.dataset.kind, by(rank, placed)),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name) || placed(a, b),
};

const body = card => card.querySelector("details");
const visible = () => [...list.children].filter(card => !card.hidden);
const opened = () => cards.find(card => body(card).open);

function text(card) {
  if (!texts.has(card)) texts.set(card, card.textContent.toLocaleLowerCase().normalize("NFKC"));
  return texts.get(card);
}

function apply() {
  const wanted = Object.fromEntries(fields.map(field => [field.name, field.value]));
  const words = (wanted.q ?? "").toLocaleLowerCase().normalize("NFKC").split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const fits = (!wanted.stage || card.dataset.stage === wanted.stage)
      && (!wanted.kind || card.dataset.kind === wanted.kind)
      && (!wanted.tag || card.dataset.tags.split("\n").includes(wanted.tag))
      && words.every(word => text(card).includes(word));
    card.hidden = !fits;
    shown += fits;
  }
  const order = [...cards].sort(orders[wanted.sort] ?? placed);
  // moving a card closes nothing, but costs a layout: only where the order is another one
  if (order.some((card, index) => card !== list.children[index])) list.append(...order);
  count.textContent = `${shown} of ${cards.length}`;
  none.hidden = shown > 0;
  for (const link of document.querySelectorAll(".shares a")) {
    const [name, value] = link.hash.slice(1).split("=").map(decodeURIComponent);
    link.toggleAttribute("aria-current", wanted[name] === value);
  }
}

function remember(card = opened()) {
  const parts = fields.filter(field => field.value).map(field => `${field.name}=${encodeURIComponent(field.value)}`);
  if (card && !card.hidden) parts.unshift(card.id);
  // replaced, not pushed: whoever goes back leaves the page, and not the last letter of a search
  history.replaceState(null, "", "#" + parts.join("&"));
}

function show(card) {
  for (const other of cards) body(other).open = other === card;
  // cards that come into sight take their true height, which moves this one: again, once they have
  const scroll = () => card.scrollIntoView({ block: "start" });
  scroll();
  requestAnimationFrame(() => { scroll(); requestAnimationFrame(scroll); });
  body(card).querySelector("summary").focus({ preventScroll: true });
  remember(card);
}

function step(by) {
  const shown = visible(), from = shown.indexOf(opened());
  const card = from < 0 ? shown[by > 0 ? 0 : shown.length - 1] : shown[from + by];
  if (card) show(card);
}

function read() {
  const parts = location.hash.slice(1).split("&").filter(Boolean);
  const view = new URLSearchParams(parts.filter(part => part.includes("=")).join("&"));
  for (const field of fields) {
    field.value = view.get(field.name) ?? "";
    if (field.selectedIndex === -1) field.value = ""; // an old address may name what this page has not
  }
  apply();
  const card = cards.find(card => parts.includes(card.id));
  if (!card) {
    if (parts.length) form.scrollIntoView({ block: "nearest" }); // below the overview, which links to views
    return;
  }
  if (card.hidden) { form.reset(); apply(); } // a link to a card shows it, whatever else it says
  show(card);
}

form.addEventListener("input", () => { apply(); remember(); });
form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
form.addEventListener("submit", event => event.preventDefault());
form.elements.previous.addEventListener("click", () => step(-1));
form.elements.next.addEventListener("click", () => step(1));
list.addEventListener("click", event => {
  const link = event.target.closest("a[rel]");
  if (!link) return;
  event.preventDefault(); // the neighbours in this order, among the cards that are shown
  step(link.rel === "next" ? 1 : -1);
});
list.addEventListener("toggle", event => { if (event.target.open || !opened()) remember(); }, true);
list.addEventListener("keydown", event => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || !event.target.matches("summary")) return;
  const shown = visible(), next = shown[shown.indexOf(event.target.closest(".card")) + by];
  if (!next) return;
  event.preventDefault();
  body(next).querySelector("summary").focus();
});
window.addEventListener("hashchange", read);
form.hidden = false;
form.querySelector(".choices").open = matchMedia("(min-width: 1100px)").matches; // less has no room for them
read();
