// ---- curves

const drawn = new Map(); // plots by the element that holds them
function clear(host) {
  for (const plot of drawn.get(host) || []) plot.destroy();
  drawn.set(host, []);
  host.replaceChildren();
}
// Why a panel shows nothing, or a level line.
function flat(lines) {
  const seen = new Set(lines.flatMap((line) => line.rows.flat()).filter((value) => !Number.isNaN(value)));
  if (!seen.size) return lines.length ? "not measured in these runs" : "nothing is chosen";
  return seen.size === 1 ? `level: ${number([...seen][0])} in every run, at every probe` : "";
}
// One panel: lines are {label, look, rows [seed][probe], onsets}; the value under the cursor is told in its head.
function panel(host, steps, measure, name, lines, options) {
  const told = h("span", { class: "told" }, flat(lines));
  const title = h("abbr", { title: measure.legend || words(name), tabindex: "0" }, words(name));
  const box = h("div", { class: "panel" }, h("div", { class: "head" }, h("b", {}, title), told));
  host.append(box);
  const data = [steps], parts = [{}], bands = [], spoken = [];
  for (const line of lines) {
    const stroke = colour(line.look), few = line.rows.length <= FEW_SEEDS;
    if (line.rows.length > 1) {
      const [low, middle, high] = quartiles(line.rows);
      if (options.seeds || few) {
        for (const row of line.rows) {
          data.push(holes(row));
          parts.push({ stroke: `${stroke}${few ? "bb" : "77"}`, width: few ? 0.9 : 0.7, dash: dashes(line.look, 1), points: { show: false } });
        }
      }
      if (!few) {
        data.push(high, low);
        parts.push({ stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } });
        bands.push({ series: [data.length - 2, data.length - 1], fill: `${stroke}2e` });
      }
      data.push(middle);
    } else data.push(holes(line.rows[0]));
    parts.push({ stroke, width: 2, dash: dashes(line.look, 2), label: line.label, points: { show: steps.length <= 25, size: 4, fill: stroke } });
    spoken.push([data.length - 1, line]);
  }
  if (measure.oracle !== null && (!measure.log || measure.oracle > 0)) {
    data.push(steps.map(() => measure.oracle));
    parts.push({ stroke: css("--soft"), width: 1.2, dash: [6, 4], points: { show: false } });
  }
  const marks = {
    hooks: {
      draw: [(plot) => {
        const { ctx, bbox } = plot, ratio = devicePixelRatio;
        ctx.save();
        for (const line of lines) {
          ctx.fillStyle = ctx.strokeStyle = colour(line.look);
          for (const onset of line.onsets || []) {
            const x = plot.valToPos(onset, "x", true), y = bbox.top + bbox.height;
            if (options.single) {
              ctx.setLineDash([3 * ratio, 3 * ratio]);
              ctx.beginPath();
              ctx.moveTo(x, bbox.top);
              ctx.lineTo(x, y);
              ctx.stroke();
            }
            ctx.beginPath();
            ctx.moveTo(x - 4 * ratio, y);
            ctx.lineTo(x + 4 * ratio, y);
            ctx.lineTo(x, y - 8 * ratio);
            ctx.fill();
          }
        }
        ctx.restore();
      }],
      setCursor: [(plot) => {
        const at = plot.cursor.idx;
        told.replaceChildren(...(at === null || at === undefined ? [flat(lines)] : [`step ${steps[at]}: `, ...spoken.flatMap(([place, line]) =>
          [swatch(line.look), `${number(data[place][at])} `])]));
      }],
    },
  };
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const plot = new uPlot({
    width: Math.max(280, box.clientWidth), height: options.height || 190,
    cursor: { sync: { key: options.sync }, drag: { x: true, y: false }, focus: { prox: -1 } },
    legend: { show: false },
    scales: { x: { time: false }, y: measure.log ? { distr: 3, log: 10 } : { range: (u, low, high) => (low === high ? (low === 0 ? [0, 1] : [low - 0.5, high + 0.5]) : uPlot.rangeNum(low, high, 0.08, true)) } },
    axes: [{ ...axis, size: 26, gap: 4, values: (u, ticks) => ticks.map(number) }, { ...axis, size: 62, values: (u, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) }],
    series: parts, bands, plugins: [marks],
  }, data, box);
  plot.root.setAttribute("role", "img");
  plot.root.setAttribute("aria-label", `${words(name)} over training steps`);
  drawn.get(host).push(plot);
}
window.addEventListener("resize", () => {
  for (const plots of drawn.values()) {
    for (const plot of plots) plot.setSize({ width: Math.max(280, plot.root.parentElement.clientWidth), height: plot.height });
  }
});

function curves(section, study) {
  const problems = Object.keys(study.problems).filter((name) => Object.keys(study.problems[name].measures).length);
  if (!problems.length) {
    section.append(h("p", {}, "No run has been measured, so there are no curves."));
    return;
  }
  const state = { problem: problems[0], variants: [], measures: [], seeds: false };
  const bar = toolbar(), pick = h("div", { class: "pick" }), legend = h("p", { class: "legend" }), host = h("div", { class: "panels" });
  section.append(bar, pick, legend, host);
  const ordered = (problem) => ranked_variants(study, problem);
  function choose(problem) {
    const ids = ordered(problem);
    state.problem = problem;
    state.variants = ids.length > 4 ? [...ids.slice(0, 2), ...ids.slice(-2)] : ids;
    state.measures = study.problems[problem].first;
    controls();
  }
  function controls() {
    const { measures } = study.problems[state.problem];
    const more = Object.keys(measures).filter((name) => !state.measures.includes(name));
    bar.replaceChildren(
      select("Problem", problems.map((name) => [name, name]), state.problem, (name) => { choose(name); draw(); }),
      select("Add a measure", [["", "…"], ...more.map((name) => [name, words(name)])], "", (name) => { if (name) state.measures = [...state.measures, name]; controls(); draw(); }),
      h("label", {}, h("input", { type: "checkbox", checked: state.seeds, onchange: (event) => { state.seeds = event.target.checked; draw(); } }), " single seeds"),
    );
    pick.replaceChildren(
      ...tokens(study, state.variants, ordered(state.problem), (id) => study.variants[id].label, `${study.prefix}more`, (ids) => { state.variants = ids; controls(); draw(); }),
      h("span", { class: "measures" }, ...state.measures.map((name) => h("button", { type: "button", class: "token", title: "Take it out", onclick: () => { state.measures = state.measures.filter((other) => other !== name); controls(); draw(); } }, words(name), " ×"))),
    );
  }
  async function draw() {
    const bytes = await study.bytes(), place = study.problems[state.problem];
    clear(host);
    const runs = state.variants.map((id) => study.variants[id].runs);
    const labels = state.variants.map((id) => study.variants[id].label), known = looks(study, labels);
    legend.replaceChildren(state.variants.length
      ? `${runs.some((ids) => ids.length > FEW_SEEDS) ? "" : "Thin: single seeds, of which there are too few for a band. "}▲ the onset of a failure. Drag over a panel to look closer, double-click to go back.`
      : "No variant is chosen: add one above.");
    for (const name of state.measures) {
      const lines = runs.map((ids, order) => ({
        label: labels[order], look: known[order],
        rows: ids.map((id) => series(study, bytes, state.problem, name, id)),
        onsets: ids.map((id) => study.runs[id]).filter((run) => RULES[run.verdict]?.failed && run.onset !== null).map((run) => run.onset),
      }));
      panel(host, place.steps, place.measures[name], name, lines, { seeds: state.seeds, sync: `${study.prefix}curves` });
    }
  }
  choose(problems[0]);
  openers.set(section.id, draw);
  study.overlay = (ids) => {
    const problem = study.variants[ids[0]].problem;
    choose(problem);
    state.variants = ids.slice(0, MOST);
    controls();
  };
}
