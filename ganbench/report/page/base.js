// The page works without its scripts; with them, sections become pages, tables sort and filter, and curves and samples
// draw. The files are joined into one script, in which every function of one is known to all.
const DATA = JSON.parse(document.getElementById("data").textContent);
const RULES = Object.fromEntries(DATA.rules.map((rule) => [rule.name, rule]));
const STUDIES = Object.fromEntries(DATA.studies.map((study) => [study.prefix, study]));
const MOST = 8; // variants in one picture: more colours than that are not told apart
const LEVELS = 4094, MISSING = 4095, NO_POINT = 255, EDGE = 254;
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b88400", "#56b4e9", "#6b6f76", "#7a3fa0"];
const DARK = ["#62b5ea", "#ff8a3d", "#3ccfa0", "#e6a3c8", "#f0c040", "#9ad4f5", "#b5bac2", "#b98be0"];
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
const colour = (place) => (dark.matches ? DARK : LIGHT)[place % MOST];
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
function tokens(chosen, all, label, list, change) {
  const left = all.filter((id) => !chosen.includes(id));
  const field = h("input", { list, placeholder: "add one", "aria-label": "Add one", size: 34, onchange: () => {
    const found = left.find((id) => label(id) === field.value);
    if (found !== undefined) change([...chosen, found]);
  } });
  return [
    ...chosen.map((id, place) => h("button", { type: "button", class: "token", title: "Take it out", style: `border-color:${colour(place)}`, onclick: () => change(chosen.filter((other) => other !== id)) },
      h("span", { class: "swatch", style: `background:${colour(place)}` }), label(id), " ×")),
    !left.length ? "" : chosen.length < MOST ? field : h("span", { class: "soft" }, `${MOST} at most`),
    h("datalist", { id: list }, ...left.map((id) => h("option", { value: label(id) }))),
  ];
}
const chip = (verdict) => {
  const rule = RULES[verdict];
  return rule ? h("span", { class: `chip ${rule.slug}`, title: rule.meaning }, rule.symbol) : "";
};

// ---- packed numbers

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
function once(make) {
  let made;
  return () => (made ??= make());
}
for (const study of DATA.studies) {
  study.bytes = once(() => unpack(study.curves));
  for (const shown of Object.values(study.samples)) {
    shown.bytes = once(async () => (shown.kind === "points" ? [await unpack(shown.real), await unpack(shown.packed)] : []));
  }
  for (const [id, run] of Object.entries(study.runs)) (study.variants[run.variant].runs ??= []).push(id);
}
// The values [probe] of a run, NaN where there is none; after its divergence a run counts as the worst value.
function series(study, bytes, problem, name, run) {
  const place = study.problems[problem], measure = place.measures[name];
  const count = place.steps.length, half = bytes.length / 2, start = measure.at + place.runs.indexOf(run) * count;
  const [low, high] = measure.log ? [Math.log(measure.low), Math.log(measure.high)] : [measure.low, measure.high];
  const values = new Array(count);
  for (let i = 0; i < count; i++) {
    const code = bytes[start + i] * 256 + bytes[half + start + i];
    const value = low + (code / LEVELS) * (high - low);
    values[i] = code === MISSING ? NaN : measure.log ? Math.exp(value) : value;
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

// ---- pages: one section at a time, named by the address; an address may name a variant or a run too

const sections = [...document.querySelectorAll("main section")];
const openers = new Map(); // what to do when a section is shown, by its id
function study_of(section) {
  return STUDIES[section.closest(".study")?.dataset.study];
}
function show() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const target = document.getElementById(wanted) || sections[0];
  const section = target.closest("section") || sections[0];
  for (const other of sections) other.classList.toggle("away", other !== section);
  const study = section.closest(".study")?.dataset.study;
  for (const group of document.querySelectorAll("nav .pages[data-study]")) {
    group.classList.toggle("folded", group.dataset.study !== study);
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${section.id}` && !link.classList.contains("name")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  openers.get(section.id)?.(target);
  if (target === section || !wanted) window.scrollTo(0, 0);
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
    const button = h("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
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
function filter(section, rows, noun) {
  const told = h("span", { class: "soft", role: "status" }, plural(rows.length, noun));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const field = h("input", {
    type: "search", placeholder: `words that a ${noun} must have`, "aria-label": `Filter ${noun}s`, size: 34,
    oninput: () => {
      const wanted = field.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
      let left = 0;
      for (const row of rows) {
        row.hidden = !wanted.every((word) => texts.get(row).includes(word));
        left += !row.hidden;
      }
      for (const details of section.querySelectorAll("details.runs")) details.open ||= wanted.length > 0;
      told.textContent = left === rows.length ? plural(left, noun) : `${left} of ${plural(rows.length, noun)}`;
    },
  });
  return { field: h("label", {}, "Filter ", field), told, by(text) { field.value = text; field.dispatchEvent(new Event("input")); } };
}
const toolbar = (...children) => h("div", { class: "toolbar" }, ...children);
