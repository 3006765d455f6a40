"use strict";
// Everything that comes from the log is put in as text, never as HTML.

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const MOST = 120; // characters of a title

function shortened(title) {
  const characters = [...title];
  return characters.length > MOST ? `${characters.slice(0, MOST - 1).join("")}\u2026` : title;
}

// Neither right-to-left letters nor marks of direction in it reach what stands beside it.
function isolated(text) {
  return `\u2068${text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "")}\u2069`;
}

function hasTitle(id, title) {
  return Boolean(title) && title !== id;
}

function nameOf(id, title) {
  return hasTitle(id, title) ? `${isolated(shortened(title))} (${isolated(id)})` : isolated(id);
}

// The name; pointing at it shows a title whole that isn't.
function named(tag, id, title) {
  const made = element(tag, nameOf(id, title));
  if (hasTitle(id, title) && shortened(title) !== title) made.title = title;
  return made;
}

function startMap() {
  const choice = document.getElementById("map-colour");
  if (!choice) return;
  const figures = [...document.querySelectorAll("#map figure")];
  const show = () => figures.forEach((figure, number) => { figure.hidden = number !== choice.selectedIndex; });
  choice.addEventListener("change", show);
  choice.parentElement.hidden = false;
  show();
}

function startExplorer() {
  const { rankings, items, queries } = JSON.parse(document.getElementById("neighbours").textContent);
  const search = document.getElementById("search");
  const list = document.getElementById("queries");
  const status = document.getElementById("matches");
  const shown = document.getElementById("recommendations");
  const searched = queries.map((query) => `${query.title} (${query.id})`.toLowerCase());
  const item = (tag, place) => named(tag, items[place][0], items[place][1]);
  const joined = (places) => places.flatMap((place, number) => [number ? ", " : "", item("span", place)]);

  function show() {
    shown.replaceChildren();
    if (list.selectedIndex < 0) return;
    const query = queries[Number(list.value)];
    shown.append(named("h3", query.id, query.title));
    const more = query.known_count - query.known.length;
    const before = element("p");
    if (query.known_count) before.append("Known before: ", ...joined(query.known), more ? `, and ${more} more.` : ".");
    else before.append("Nothing was known before.");
    const heldBack = element("p", "Held back: ");
    heldBack.append(...joined(query.relevant), ".");
    shown.append(before, heldBack);
    const beside = element("div", undefined, "beside");
    rankings.forEach((name, number) => {
      const one = element("section", undefined, "ranking");
      one.append(element("h4", name));
      const ranks = element("ol");
      for (const place of query.found[number]) {
        const hit = query.relevant.includes(place);
        const row = item("li", place);
        if (hit) row.className = "hit";
        row.append(element("small", ` ${items[place][2].toLocaleString("en")}\u00d7${hit ? ", held back" : ""}`));
        ranks.append(row);
      }
      one.append(ranks.childElementCount ? ranks : element("p", "Prefers no item."));
      beside.append(one);
    });
    shown.append(beside);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    list.replaceChildren();
    queries.forEach((query, number) => {
      if (!words.every((word) => searched[number].includes(word))) return;
      const option = named("option", query.id, query.title);
      option.value = String(number);
      list.append(option);
    });
    list.selectedIndex = list.length ? 0 : -1;
    status.textContent = `${list.length} of ${queries.length} queries`;
    show();
  }

  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || !list.length) return;
    event.preventDefault();
    list.focus();
  });
  list.addEventListener("change", show);
  document.getElementById("explorer").hidden = false;
  filter();
}

startMap();
startExplorer();
