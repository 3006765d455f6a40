"use strict";
// Everything that comes from the log is put in as text, never as HTML.

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function nameOf(id, title) {
  return title && title !== id ? `${title} (${id})` : id;
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
  const names = queries.map((query) => nameOf(query.id, query.title));
  const item = (place) => nameOf(items[place][0], items[place][1]);
  const joined = (places) => places.map(item).join(", ");

  function show() {
    shown.replaceChildren();
    if (list.selectedIndex < 0) return;
    const query = queries[Number(list.value)];
    shown.append(element("h3", names[Number(list.value)]));
    const more = query.known_count - query.known.length;
    shown.append(element("p", query.known_count
      ? `Known before: ${joined(query.known)}${more ? `, and ${more} more` : ""}.` : "Nothing was known before."));
    shown.append(element("p", `Held back: ${joined(query.relevant)}.`));
    const beside = element("div", undefined, "beside");
    rankings.forEach((name, number) => {
      const one = element("section", undefined, "ranking");
      one.append(element("h4", name));
      const ranks = element("ol");
      for (const place of query.found[number]) {
        const hit = query.relevant.includes(place);
        const row = element("li", item(place), hit ? "hit" : "");
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
    names.forEach((name, number) => {
      const lower = name.toLowerCase();
      if (!words.every((word) => lower.includes(word))) return;
      const option = element("option", name);
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
