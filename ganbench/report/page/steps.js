// ---- stepped lines with bands: survival over training, performance profiles over scores

// A line {x, y, low, high} on other places `at`. Its values hold to the right of their x (forth), or to the left of it.
function resampled(line, at, forth) {
  const found = { y: [], low: [], high: [] };
  let i = 0;
  for (const x of at) {
    if (forth) while (i + 1 < line.x.length && line.x[i + 1] <= x) i++;
    else while (i + 1 < line.x.length && line.x[i] < x) i++;
    for (const part of ["y", "low", "high"]) found[part].push(line[part][i]);
  }
  return found;
}
// One picture of lines {label, look, line} over [0, last]; what is under the cursor is told below it.
function steps_panel(host, lines, { last, forth, name, unit, told, shaded }) {
  const at = [...new Set([0, last, ...lines.flatMap(({ line }) => line.x)])].filter((x) => x <= last).sort((a, b) => a - b);
  const paths = uPlot.paths.stepped({ align: forth ? 1 : -1 }), points = { show: false };
  const data = [at], parts = [{}], bands = [], spoken = [];
  for (const { label, look, line } of lines) {
    const { y, low, high } = resampled(line, at, forth), stroke = colour(look);
    data.push(high, low, y);
    parts.push({ stroke: "transparent", paths, points }, { stroke: "transparent", paths, points }, { stroke, width: 2, dash: dashes(look, 2), label, paths, points });
    if (shaded) bands.push({ series: [data.length - 3, data.length - 2], fill: `${stroke}26` });
    spoken.push({ label, look, y, low, high });
  }
  const say = (plot) => {
    const idx = plot.cursor.idxs?.[1];
    if (idx === null || idx === undefined || plot.cursor.left < 0) { told.replaceChildren("Move over the lines to read them."); return; }
    told.replaceChildren(`${unit} ${forth ? "from" : "up to"} ${number(at[idx])}: `, ...spoken.map((one) =>
      h("span", { class: "spoken" }, swatch(one.look), `${one.label} ${number(one.y[idx])} `, h("small", {}, `${number(one.low[idx])} to ${number(one.high[idx])}`))));
  };
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const plot = new uPlot({
    width: Math.max(280, host.clientWidth), height: 320, legend: { show: false },
    // the step that the cursor is on, not the nearest corner
    cursor: { drag: { x: true, y: false }, dataIdx: (u, i, near, x) => Math.min(at.length - 1, Math.max(0, forth ? near - (at[near] > x) : near + (at[near] < x))) },
    scales: { x: { time: false, range: (u, low, high) => [low, high] }, y: { range: () => [-0.02, 1.03] } },
    axes: [{ ...axis, size: 26, gap: 4, label: unit, labelSize: 20, labelFont: "12px system-ui", values: (u, ticks) => ticks.map(number) }, { ...axis, size: 40, label: name, labelSize: 20, labelFont: "12px system-ui", values: (u, ticks) => ticks.map(number) }],
    series: parts, bands, hooks: { setCursor: [say] },
  }, data, host);
  plot.root.setAttribute("role", "img");
  plot.root.setAttribute("aria-label", `${name} by ${unit}`);
  drawn.get(host).push(plot);
  say(plot);
}
// A picture with its controls: `choices` is called with the state and gives {selects, lines: Map of id to {label, line}, first, ...}.
function steps_page(section, study, before, list, choices) {
  const bar = toolbar(), pick = h("div", { class: "pick" }), host = h("div", { class: "steps" }), told = h("p", { class: "legend told", "aria-live": "off" });
  before.before(bar, pick, host, told);
  const state = { chosen: null, shaded: null };
  function draw() {
    const { selects, lines, first, ...options } = choices(state, () => { state.chosen = null; draw(); });
    state.chosen = (state.chosen ?? first).filter((id) => lines.has(id)).slice(0, MOST);
    // the bands of more lines than a few hide each other
    const shaded = state.shaded ?? state.chosen.length <= FEW;
    bar.replaceChildren(...selects, h("label", {}, h("input", { type: "checkbox", checked: shaded, onchange: (event) => { state.shaded = event.target.checked; draw(); } }), " intervals"));
    pick.replaceChildren(...tokens(study, state.chosen, [...lines.keys()], (id) => lines.get(id).label, list, (ids) => { state.chosen = ids; draw(); }));
    clear(host);
    const known = looks(study, state.chosen.map((id) => lines.get(id).label));
    steps_panel(host, state.chosen.map((id, place) => ({ ...lines.get(id), look: known[place] })), { ...options, told, shaded });
  }
  openers.set(section.id, draw);
}
const FEW = 4;
const ends = (ids) => (ids.length > 4 ? [...ids.slice(0, 2), ...ids.slice(-2)] : ids);
// From the best to the worst: both ends alone survive in all seeds, or in none.
const spread = (ids) => (ids.length > 4 ? [0, 1, 2, 3].map((third) => ids[Math.round((third / 3) * (ids.length - 1))]) : ids);

function survival(section, study) {
  const problems = Object.keys(study.survival), blocks = [...section.querySelectorAll(".problem")];
  if (!problems.length) return;
  steps_page(section, study, blocks[0], `${study.prefix}levels`, (state, again) => {
    state.problem ??= problems[0];
    const { last, settings, variants } = study.survival[state.problem], names = Object.keys(settings);
    if (state.by === undefined || !(state.by === "" || names.includes(state.by))) state.by = names[0] ?? "";
    for (const block of blocks) block.hidden = block.dataset.problem !== state.problem;
    const single = state.by === "", ids = single ? ranked_variants(study, state.problem).filter((id) => variants[id]) : Object.keys(settings[state.by]);
    return {
      selects: [
        select("Problem", problems.map((name) => [name, name]), state.problem, (name) => { state.problem = name; again(); }),
        select("Lines", [...names.map((name) => [name, `by ${name}`]), ["", "single variants"]], state.by, (by) => { state.by = by; again(); }),
      ],
      lines: new Map(ids.map((id) => [id, single ? { label: study.variants[id].label, line: variants[id] } : { label: id, line: settings[state.by][id] }])),
      first: single ? spread(ids) : ids, last, forth: true, name: "share of runs not failed", unit: "step",
    };
  });
}

function statistics(section, study) {
  const names = Object.keys(study.profiles);
  if (!names.length) return;
  steps_page(section, study, section.querySelector(".drawn"), `${study.prefix}profiled`, (state, again) => {
    state.on ??= names[0];
    const lines = study.profiles[state.on], ids = study.ranked.filter((label) => lines[label]);
    return {
      selects: names.length > 1 ? [select("Over", names.map((name) => [name, name]), state.on, (on) => { state.on = on; again(); })] : [],
      lines: new Map(ids.map((label) => [label, { label, line: lines[label] }])),
      first: ends(ids), last: 1, forth: false, name: "share of runs at least that good", unit: "score",
    };
  });
}
