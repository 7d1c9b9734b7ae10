// The page works without its scripts; with them, sections become pages, tables sort and filter, and curves and samples
// draw. The files are joined into one script, in which every function of one is known to all.
const DATA = JSON.parse(document.getElementById("data").textContent);
const RULES = Object.fromEntries(DATA.rules.map((rule) => [rule.name, rule]));
const STUDIES = Object.fromEntries(DATA.studies.map((study) => [study.prefix, study]));
const MOST = DATA.colours; // variants in one picture: more colours than that are not told apart
const NO_POINT = 127, EDGE = 126;
const FEW_SEEDS = 4; // up to so many, single seeds say more than the middle half of them
const dark = window.matchMedia("(prefers-color-scheme: dark)");

// ---- small helpers

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (look) => css(`--c${look.place}`);
const dashes = (look, width) => DATA.dashes[look.dash].map((length) => length * width);
// How lines of methods or variants look, by their labels: `looks` of colours.py does the same for the figures. The colour
// is that of the first setting's level, or of the first setting that differs; dashes tell lines of one colour apart.
function looks(study, labels) {
  const found = labels.map((label) => study.places.map((of) => of[label.split(", ").find((part) => part in of)] ?? 0));
  const by = Math.max(0, study.places.findIndex((_, axis) => new Set(found.map((row) => row[axis])).size > 1));
  const seen = {};
  return found.map((row) => {
    const place = (row[by] ?? 0) % DATA.colours;
    seen[place] = (seen[place] ?? -1) + 1;
    return { place, dash: seen[place] % DATA.dashes.length };
  });
}
function swatch(look) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS(svg.namespaceURI, "path");
  for (const [name, value] of [["width", 26], ["height", 8], ["class", "swatch"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  for (const [name, value] of [["d", "M0 4H26"], ["stroke-width", 3], ["stroke", `var(--c${look.place})`], ["stroke-dasharray", dashes(look, 1.4).join(" ")]]) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}
const to = (id) => `#${encodeURIComponent(id)}`;
const words = (name) => name.replaceAll("_", " ");
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
// The variants of a problem that have runs, the best first.
function ranked_variants(study, problem) {
  const rows = [...document.querySelectorAll(`#${CSS.escape(study.prefix)}variants tr[data-variant]`)].map((row) => row.dataset.variant);
  const here = (id) => study.variants[id]?.problem === problem && study.variants[id].runs;
  const known = rows.filter(here);
  return known.length ? known : Object.keys(study.variants).filter(here);
}
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
function select(label, options, chosen, change) {
  const list = h("select", { onchange: () => change(list.value) });
  for (const [value, text] of options) list.append(h("option", { value, selected: value === chosen }, text));
  return h("label", {}, `${label} `, list);
}
// What is drawn, each a button that takes it out, and a field that adds one of the others by its label.
function tokens(study, chosen, all, label, list, change) {
  const left = all.filter((id) => !chosen.includes(id)), known = looks(study, chosen.map(label));
  const field = h("input", { list, placeholder: "add one", "aria-label": "Add one", size: 34, onchange: () => {
    const found = left.find((id) => label(id) === field.value);
    if (found !== undefined) change([...chosen, found]);
  } });
  return [
    ...chosen.map((id, place) => h("button", { type: "button", class: "token", title: "Take it out", onclick: () => change(chosen.filter((other) => other !== id)) }, swatch(known[place]), label(id), " ×")),
    !left.length ? "" : chosen.length < MOST ? field : h("span", { class: "soft" }, `${MOST} at most`),
    h("datalist", { id: list }, ...left.map((id) => h("option", { value: label(id) }))),
  ];
}
const chip = (verdict) => {
  const rule = RULES[verdict];
  return rule ? h("span", { class: `chip ${rule.slug}`, title: rule.meaning }, rule.symbol) : "";
};

// ---- packed numbers

// The bytes of letters: two of them are 13 bits, and one that is left over is what is missing of the last byte.
function bytes_of(text) {
  const place = (at) => { const code = text.charCodeAt(at); return code - 33 - (code > 34) - (code > 60) - (code > 92); };
  const pairs = text.length >> 1, bytes = new Uint8Array(Math.floor((pairs * 13) / 8) + (text.length % 2));
  let held = 0, bits = 0, end = 0;
  for (let at = 0; at < 2 * pairs; at += 2) {
    held = (held << 13) | (place(at) * 91 + place(at + 1));
    for (bits += 13; bits >= 8;) bytes[end++] = held >> (bits -= 8);
    held &= (1 << bits) - 1;
  }
  if (text.length % 2) bytes[end] = (held << (8 - bits)) | place(text.length - 1);
  return bytes;
}
async function unpack(text) {
  const stream = new Blob([bytes_of(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
const json_of = async (text) => JSON.parse(new TextDecoder().decode(await unpack(text)));
// Points from left to right, of which each tells how far it is from the one before, as [frame, point, axis].
function points_of(bytes, count, axes) {
  const all = bytes.length / axes, found = new Uint8Array(bytes.length);
  for (let i = 0; i < all; i++) {
    found[i * axes] = bytes[i] + (i % count ? found[(i - 1) * axes] : 0);
    if (axes === 2) found[2 * i + 1] = bytes[all + i];
  }
  return found;
}
function once(make) {
  let made;
  return () => (made ??= make());
}
// Without the means to unpack them, the page is that of a browser without scripts, and says so.
if (typeof DecompressionStream === "undefined") {
  for (const still of document.querySelectorAll("noscript")) still.replaceWith(document.createRange().createContextualFragment(still.textContent));
  document.querySelector("main").prepend(h("p", { class: "warning" }, "This browser cannot unpack the data of this page (it has no DecompressionStream): the tables and figures are all here, but nothing sorts, filters or draws anew. Chromium from 80, Firefox from 113 and Safari from 16.4 can."));
  return;
}
for (const study of DATA.studies) {
  Object.assign(study, await json_of(study.about));
  study.bytes = once(() => unpack(study.curves));
  study.command_of = once(() => json_of(study.commands));
  for (const [problem, shown] of Object.entries(study.samples)) {
    const { real, packed, sheets } = study.blocks[problem], sheet = (text) => createImageBitmap(new Blob([bytes_of(text)], { type: "image/webp" }));
    shown.bytes = once(async () => (await Promise.all([real, packed].map(unpack))).map((bytes) => points_of(bytes, shown.count, shown.axes)));
    shown.sheet = sheets?.map((text) => once(() => sheet(text)));
  }
  for (const row of document.querySelectorAll(`#${CSS.escape(study.prefix)}diagnosis .runs tr[id]`)) row.dataset.run = row.id.slice(study.prefix.length);
  for (const row of document.querySelectorAll(`#${CSS.escape(study.prefix)}variants tr[data-variant]`)) row.dataset.variant = row.id.slice(study.prefix.length + 2);
  for (const [id, run] of Object.entries(study.runs)) (study.variants[run.variant].runs ??= []).push(id);
}
// The values [probe] of a run, NaN where there is none; after its divergence a run counts as the worst value.
function series(study, bytes, problem, name, run) {
  const place = study.problems[problem], measure = place.measures[name];
  const count = place.steps.length, half = bytes.length / 2, across = place.runs.length, start = measure.at + place.runs.indexOf(run);
  const [low, high] = measure.log ? [Math.log(measure.low), Math.log(measure.high)] : [measure.low, measure.high];
  const values = new Array(count);
  for (let i = 0, code = 0; i < count; i++) {
    const at = start + i * across, change = bytes[at] * 256 + bytes[half + at];
    code += change % 2 ? -(change + 1) / 2 : change / 2;
    const value = low + (code / measure.most) * (high - low);
    values[i] = code > measure.most ? NaN : measure.log ? Math.exp(value) : value;
  }
  if (study.runs[run].status === "diverged" && measure.worst !== null) {
    let last = count - 1;
    while (last >= 0 && Number.isNaN(values[last])) values[last--] = measure.worst;
  }
  return values;
}
// Quartiles over seeds at each probe, of those that have a value: the inverse of the distribution, no mean of two.
function quartiles(rows) {
  const found = [[], [], []];
  for (let i = 0; i < (rows[0] || []).length; i++) {
    const here = rows.map((row) => row[i]).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
    [0.25, 0.5, 0.75].forEach((q, k) => found[k].push(here.length ? here[Math.ceil(q * here.length) - 1] : null));
  }
  return found;
}
const holes = (values) => values.map((value) => (Number.isNaN(value) ? null : value));

// ---- pages: one section at a time, named by the address; it may name a variant or a run, or words that filter: #variants?hinge

const sections = [...document.querySelectorAll("main section")];
const openers = new Map(); // what to do when a section is shown, by its id
function study_of(section) {
  return STUDIES[section.closest(".study")?.dataset.study];
}
function show() {
  const whole = decodeURIComponent(location.hash.slice(1)), at = document.getElementById(whole) ? whole.length : whole.indexOf("?");
  const [wanted, words] = at < 0 ? [whole, ""] : [whole.slice(0, at), whole.slice(at + 1)];
  const target = document.getElementById(wanted) || sections[0];
  const section = target.closest("section") || sections[0];
  for (const other of sections) other.classList.toggle("away", other !== section);
  const study = section.closest(".study")?.dataset.study;
  for (const one of document.querySelectorAll("main > .study")) one.firstElementChild.hidden = study !== undefined && one.dataset.study !== study;
  for (const group of document.querySelectorAll("nav .pages[data-study]")) {
    group.classList.toggle("folded", group.dataset.study !== study);
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash !== `#${section.id}` || link.classList.contains("name")) { link.removeAttribute("aria-current"); continue; }
    link.setAttribute("aria-current", "page");
    const strip = link.closest("nav > div"); // on a phone the links are one line, which scrolls
    strip.scrollLeft = link.offsetLeft - strip.clientWidth / 2;
  }
  for (let up = target.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
  openers.get(section.id)?.(target, words);
  // what scrolls sideways and holds nothing that takes the focus is reached by the keyboard itself
  for (const box of section.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth && !box.querySelector("a, button, [tabindex]")) box.tabIndex = 0;
  }
  if (target === section || !wanted) window.scrollTo(0, 0);
  else if (document.querySelector("tr.detail")?.previousElementSibling !== target) target.scrollIntoView({ block: "start" });
}

// ---- tables: a click on a head sorts, words typed above filter

function value_of(row, column) {
  const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "∞") return Infinity;
  const parsed = parseFloat(text);
  return Number.isNaN(parsed) ? text : parsed;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  return typeof b === "number" ? 1 : a.localeCompare(b);
}
function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = h("button", { type: "button", class: "sort" }), known = head.querySelector("abbr");
    button.append(...head.childNodes);
    head.append(button);
    // the button is what the keyboard reaches: it tells what the term in it means
    if (known) { button.title = known.title; known.removeAttribute("tabindex"); known.removeAttribute("title"); }
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows], fixed = rows.filter((row) => row.className === "oracle");
      const moving = rows.filter((row) => row.className !== "oracle" && row.className !== "detail");
      body.querySelector("tr.detail")?.remove();
      const keys = new Map(moving.map((row) => [row, value_of(row, column)]));
      moving.sort((a, b) => compare(keys.get(a), keys.get(b)) * (down ? -1 : 1));
      body.append(...fixed, ...moving);
    });
  });
}
// The values of a row: the levels of its settings, each with and without its name, and what else it is asked for by.
function values_of(label, ...more) {
  const parts = [...label.split(", "), ...more].map((text) => String(text).trim().toLowerCase()).filter(Boolean);
  return new Set(parts.flatMap((part) => (part.includes("=") ? [part, part.slice(part.indexOf("=") + 1)] : [part])));
}
// Whether a word of a value begins with a term; a number is a value as a whole, so that 1 is not 10 and 1e-3 is 0.001.
function begins(value, term) {
  if (!Number.isNaN(Number(term))) return Number(value) === Number(term);
  const parts = value.split(/[\s_=]+/), plain = term.replaceAll(/[\s_=]+/g, " ");
  return parts.some((_, at) => parts.slice(at).join(" ").startsWith(plain));
}
// Rows that have a value for each term. A term that is a value finds that value and no longer one; else it finds those
// of which a word begins with it. Terms are parted by commas, and by spaces where the whole is no value.
function matching(rows, values, text) {
  const all = new Set([...values.values()].flatMap((of) => [...of]));
  const known = (term) => all.has(term) || [...all].some((value) => begins(value, term));
  const terms = text.toLowerCase().split(",").map((part) => part.trim()).filter(Boolean).flatMap((part) => (known(part) ? [part] : part.split(/\s+/)));
  const has = (of, term) => (all.has(term) ? of.has(term) : [...of].some((value) => begins(value, term)));
  return new Set(rows.filter((row) => terms.every((term) => has(values.get(row), term))));
}
// A field above a table, and what holds besides: `by` sets the words, `only` a test of a row.
function filter(section, rows, noun, of, hint) {
  const told = h("span", { class: "soft", role: "status" }, plural(rows.length, noun));
  let test = () => true, values; // read when they are asked for: of thousands of rows that takes a while
  const draw = () => {
    values ??= new Map(rows.map((row) => [row, of(row)]));
    const found = matching(rows, values, field.value), kept = rows.filter((row) => found.has(row) && test(row));
    for (const row of rows) row.hidden = true;
    for (const row of kept) row.hidden = false;
    section.querySelector("tr.detail")?.remove();
    for (const details of section.querySelectorAll("details.runs")) details.open ||= kept.length < rows.length;
    told.textContent = kept.length === rows.length ? plural(rows.length, noun) : kept.length ? `${kept.length} of ${plural(rows.length, noun)}` : `no ${noun} has these values`;
  };
  const field = h("input", { type: "search", placeholder: hint, "aria-label": `Filter ${noun}s by value`, size: 34, oninput: draw });
  return { field: h("label", {}, "Filter ", field), told, by(text) { field.value = text; draw(); }, only(wanted) { test = wanted; draw(); } };
}
const toolbar = (...children) => h("div", { class: "toolbar" }, ...children);
