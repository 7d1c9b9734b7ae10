// The page works without this file; with it, sections become pages, tables sort and filter, and curves and samples draw.
(() => {
  "use strict";
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
  const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  function select(label, options, chosen, change) {
    const list = h("select", { onchange: () => change(list.value) });
    for (const [value, text] of options) list.append(h("option", { value, selected: value === chosen }, text));
    return h("label", {}, `${label} `, list);
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

  // ---- curves

  const drawn = new Map(); // plots by the element that holds them
  function clear(host) {
    for (const plot of drawn.get(host) || []) plot.destroy();
    drawn.set(host, []);
    host.replaceChildren();
  }
  // One panel: lines are {label, place, rows [seed][probe], onsets}; the value under the cursor is told in its head.
  function panel(host, steps, measure, name, lines, options) {
    const told = h("span", { class: "told" });
    const title = h("abbr", { title: measure.legend || words(name) }, words(name));
    const box = h("div", { class: "panel" }, h("div", { class: "head" }, h("b", {}, title), told));
    host.append(box);
    const data = [steps], parts = [{}], bands = [], spoken = [];
    for (const line of lines) {
      const stroke = colour(line.place);
      if (line.rows.length > 1) {
        const [low, middle, high] = quartiles(line.rows);
        if (options.seeds) {
          for (const row of line.rows) {
            data.push(holes(row));
            parts.push({ stroke: `${stroke}77`, width: 0.7, points: { show: false } });
          }
        }
        data.push(high, low);
        parts.push({ stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } });
        bands.push({ series: [data.length - 2, data.length - 1], fill: `${stroke}2e` });
        data.push(middle);
      } else data.push(holes(line.rows[0]));
      parts.push({ stroke, width: 2, label: line.label, points: { show: steps.length <= 25, size: 4, fill: stroke } });
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
            ctx.fillStyle = ctx.strokeStyle = colour(line.place);
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
          told.replaceChildren(...(at === null || at === undefined ? [] : [`step ${steps[at]}: `, ...spoken.map(([place, line]) =>
            h("span", { style: `color:${colour(line.place)}` }, `${number(data[place][at])} `))]));
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
    const ordered = (problem) => {
      const rows = document.querySelectorAll(`#${CSS.escape(study.prefix)}variants tr[data-variant]`);
      const known = [...rows].map((row) => row.dataset.variant).filter((id) => study.variants[id]?.problem === problem && study.variants[id].runs);
      return known.length ? known : Object.keys(study.variants).filter((id) => study.variants[id].problem === problem && study.variants[id].runs);
    };
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
      const left = ordered(state.problem).filter((id) => !state.variants.includes(id));
      const listed = h("input", { list: `${study.prefix}more`, placeholder: "add a variant", "aria-label": "Add a variant", size: 40, onchange: () => {
        const found = left.find((id) => study.variants[id].label === listed.value);
        if (found && state.variants.length < MOST) { state.variants = [...state.variants, found]; controls(); draw(); }
      } });
      pick.replaceChildren(
        ...state.variants.map((id, place) => h("button", { type: "button", class: "token", title: "Take it out", style: `border-color:${colour(place)}`, onclick: () => { state.variants = state.variants.filter((other) => other !== id); controls(); draw(); } },
          h("span", { class: "swatch", style: `background:${colour(place)}` }), study.variants[id].label, " ×")),
        state.variants.length < MOST ? listed : h("span", { class: "soft" }, `${MOST} at most`),
        h("datalist", { id: `${study.prefix}more` }, ...left.map((id) => h("option", { value: study.variants[id].label }))),
        h("span", { class: "measures" }, ...state.measures.map((name) => h("button", { type: "button", class: "token", title: "Take it out", onclick: () => { state.measures = state.measures.filter((other) => other !== name); controls(); draw(); } }, words(name), " ×"))),
      );
    }
    async function draw() {
      const bytes = await study.bytes(), place = study.problems[state.problem];
      clear(host);
      const runs = state.variants.map((id) => study.variants[id].runs);
      legend.replaceChildren("▲ the onset of a failure. Drag over a panel to look closer, double-click to go back.");
      for (const name of state.measures) {
        const lines = runs.map((ids, order) => ({
          label: study.variants[state.variants[order]].label, place: order,
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

  // ---- samples

  function frame_points(canvas, shown, bytes, start) {
    const context = canvas.getContext("2d"), side = canvas.width, flat = shown.axes === 1;
    context.clearRect(0, 0, side, side);
    context.fillStyle = css("--bg");
    context.fillRect(0, 0, side, side);
    context.strokeStyle = context.fillStyle = css("--hatch");
    for (const centre of shown.centres?.at || []) {
      if (flat) context.fillRect(centre[0] * side, 0, 2, side);
      else {
        context.beginPath();
        context.arc(centre[0] * side, (1 - centre[1]) * side, Math.max(5, shown.centres.radius * side), 0, 2 * Math.PI);
        context.stroke();
      }
    }
    const bins = new Array(64).fill(0);
    for (let i = 0; i < shown.count; i++) {
      const at = start + i * shown.axes, x = bytes[at], y = flat ? 0 : bytes[at + 1];
      if (x === NO_POINT || y === NO_POINT) continue;
      if (flat) { bins[Math.min(63, Math.floor((x / EDGE) * 64))]++; continue; }
      const out = x === 0 || y === 0 || x === EDGE || y === EDGE;
      context.fillStyle = out ? css("--bad") : css("--accent");
      context.beginPath();
      context.arc(3 + (x / EDGE) * (side - 6), 3 + (1 - y / EDGE) * (side - 6), 2.2, 0, 2 * Math.PI);
      context.fill();
    }
    if (!flat) return;
    const top = Math.max(...bins, 1);
    context.fillStyle = css("--accent");
    bins.forEach((n, i) => context.fillRect((i / 64) * side, side - (n / top) * side * 0.9, side / 64 - 1, (n / top) * side * 0.9));
  }
  function picture(uri) {
    return new Promise((done) => {
      const image = new Image();
      image.onload = () => done(image);
      image.src = uri;
    });
  }
  // Draw frame `at` of a run, or the real samples; a canvas for each.
  async function frame(canvas, shown, run, at) {
    if (shown.kind === "points") {
      const [real, all] = await shown.bytes(), size = shown.count * shown.axes;
      const bytes = run === null ? real : all, row = run === null ? 0 : shown.runs.indexOf(run) * shown.steps.length + at;
      frame_points(canvas, shown, bytes, row * size);
      return;
    }
    const [width, height] = shown.side, image = await picture(run === null ? shown.real : shown.sprites[run]);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(image, run === null ? 0 : width * at, 0, width, height, 0, 0, canvas.width, canvas.height);
  }
  const has_samples = (shown, run) => (shown.kind === "points" ? shown.runs.includes(run) : run in shown.sprites);

  function samples(section, study) {
    const problems = Object.keys(study.samples);
    if (!problems.length) {
      section.append(h("p", {}, "No samples were stored."));
      return;
    }
    const state = { problem: problems[0], variant: "", at: 0 };
    const bar = toolbar(), host = h("div", { class: "frames" });
    section.append(bar, host);
    const steps = () => study.samples[state.problem].steps;
    const slider = h("input", { type: "range", min: "0", "aria-label": "Training step", oninput: () => { state.at = Number(slider.value); draw(); } });
    const told = h("output", {});
    let timer = 0;
    const play = h("button", { type: "button", onclick: () => {
      if (timer) { clearInterval(timer); timer = 0; play.textContent = "Play"; return; }
      play.textContent = "Stop";
      timer = setInterval(() => { state.at = (state.at + 1) % steps().length; slider.value = state.at; draw(); }, 500);
    } }, "Play");
    function choose(problem, variant) {
      const shown = study.samples[problem];
      const rows = [...document.querySelectorAll(`#${CSS.escape(study.prefix)}variants tr[data-variant]`)].map((row) => row.dataset.variant);
      const known = [...new Set([...rows, ...Object.keys(study.variants)])].filter((id) => study.variants[id]?.problem === problem && study.variants[id].runs?.some((run) => has_samples(shown, run)));
      Object.assign(state, { problem, variant: known.includes(variant) ? variant : known[0], at: shown.steps.length - 1 });
      slider.max = shown.steps.length - 1;
      slider.value = state.at;
      bar.replaceChildren(
        select("Problem", problems.map((name) => [name, name]), problem, (name) => { choose(name); draw(); }),
        select("Variant", known.map((id) => [id, study.variants[id].label]), state.variant, (id) => { state.variant = id; build(); draw(); }),
        h("label", {}, "Step ", slider), told, play,
      );
      build();
    }
    let canvases = [];
    function build() {
      const shown = study.samples[state.problem], flat = shown.kind === "points";
      const sheet = () => h("canvas", flat ? { width: 240, height: 240 } : { width: shown.side[0] * 2, height: shown.side[1] * 2 });
      canvases = [[null, sheet()], ...study.variants[state.variant].runs.filter((run) => has_samples(shown, run)).map((run) => [run, sheet()])];
      host.replaceChildren(...canvases.map(([run, canvas]) => h("figure", {}, canvas, h("figcaption", {}, ...(run === null ? ["real data"] : [
        chip(study.runs[run].verdict), ` seed ${study.runs[run].seed}: `, h("a", { href: to(study.prefix + run) }, study.runs[run].verdict || study.runs[run].status)])))));
    }
    async function draw() {
      const shown = study.samples[state.problem];
      told.textContent = String(steps()[state.at]);
      slider.setAttribute("aria-valuetext", `step ${steps()[state.at]}`);
      await Promise.all(canvases.map(([run, canvas]) => frame(canvas, shown, run, state.at)));
    }
    choose(problems[0]);
    openers.set(section.id, draw);
    study.look = (variant) => {
      if (study.samples[study.variants[variant].problem]) choose(study.variants[variant].problem, variant);
    };
  }

  // ---- the grid

  function grid(section) {
    const blocks = [...section.querySelectorAll(".problem")];
    if (!blocks.length) return;
    const scores = [["0", "final"], ["1", "best"], ["2", "worst after best"]];
    const state = { problem: blocks[0].dataset.problem, measure: "", score: "0" };
    const bar = toolbar();
    blocks[0].before(bar);
    function draw() {
      const block = blocks.find((one) => one.dataset.problem === state.problem), maps = [...block.querySelectorAll(".map")];
      if (state.measure && !maps.some((map) => map.dataset.measure === state.measure)) state.measure = "";
      for (const one of blocks) one.hidden = one !== block;
      for (const map of maps) {
        map.hidden = state.measure !== "" && map.dataset.measure !== state.measure;
        for (const cell of map.querySelectorAll("td[data-scores]")) {
          const values = JSON.parse(cell.dataset.scores), [text, background, ink] = values[Number(state.score)];
          const rest = values.filter((_, place) => place !== Number(state.score)).map(([other]) => other).join(" · ");
          cell.style.background = background;
          cell.style.color = ink;
          cell.querySelector("span").textContent = text;
          cell.querySelector("small").textContent = rest;
        }
        const told = map.querySelector(".shown-score"), rest = scores.filter(([value]) => value !== state.score).map(([, name]) => name).join(" · ");
        if (told) told.textContent = `${scores[Number(state.score)][1]}; below: ${rest}`;
      }
      bar.replaceChildren(
        select("Problem", blocks.map((one) => [one.dataset.problem, one.dataset.problem]), state.problem, (name) => { state.problem = name; draw(); }),
        select("Measure", [["", "all"], ...maps.map((map) => [map.dataset.measure, map.dataset.title])], state.measure, (name) => { state.measure = name; draw(); }),
        select("Score", scores, state.score, (score) => { state.score = score; draw(); }),
      );
    }
    draw();
  }

  // ---- variants and runs, opened where they stand in their table

  function detail(row, content) {
    const table = row.closest("table");
    for (const old of document.querySelectorAll("tr.detail")) old.remove();
    for (const old of document.querySelectorAll("tr.chosen")) old.classList.remove("chosen");
    row.classList.add("chosen");
    row.hidden = false;
    for (let up = row.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    const host = h("div", { class: "inside" }, content);
    row.after(h("tr", { class: "detail" }, h("td", { colspan: String(table.tHead.rows[0].cells.length) }, host)));
    row.scrollIntoView({ block: "start" });
    return host;
  }
  async function open_variant(study, row) {
    const id = row.dataset.variant, variant = study.variants[id], runs = variant?.runs || [];
    const settings = study.settings.map((name, place) => [name, variant.levels[place]]).filter(([name, text]) => text && name !== "problem");
    const panels = h("div", { class: "panels" });
    const host = detail(row, h("p", {}, ...settings.flatMap(([name, text]) => [h("span", { class: "soft" }, `${words(name)} `), h("b", {}, text), "  "])));
    host.append(
      h("ul", {}, ...runs.map((run) => h("li", {}, chip(study.runs[run].verdict), ` seed ${study.runs[run].seed}: `, h("a", { href: to(study.prefix + run) }, study.runs[run].verdict || study.runs[run].status), study.runs[run].onset === null ? "" : ` since step ${study.runs[run].onset}`))),
      h("p", { class: "toolbar" },
        h("button", { type: "button", onclick: () => { study.overlay([id]); location.hash = `${study.prefix}curves`; } }, "Curves of this variant"),
        h("button", { type: "button", onclick: () => { study.look?.(id); location.hash = `${study.prefix}samples`; } }, "Samples of this variant")),
      panels);
    if (runs.length) await few(study, panels, variant.problem, runs);
  }
  async function few(study, host, problem, runs, single = false) {
    const bytes = await study.bytes(), place = study.problems[problem];
    drawn.set(host, []);
    for (const name of place.diagnosis) {
      const rows = runs.map((run) => series(study, bytes, problem, name, run));
      const onsets = runs.map((run) => study.runs[run]).filter((run) => RULES[run.verdict]?.failed && run.onset !== null).map((run) => run.onset);
      panel(host, place.steps, place.measures[name], name, [{ label: "", place: 0, rows, onsets }], { seeds: true, single, height: 150, sync: `${study.prefix}few` });
    }
  }
  async function open_run(study, row) {
    const id = row.dataset.run, run = study.runs[id], verdict = row.cells[1].textContent, rule = RULES[verdict];
    const host = detail(row, h("h3", {}, chip(verdict), ` ${verdict}`, run && run.onset !== null && rule.failed ? ` since step ${run.onset}` : ""));
    host.append(h("p", {}, h("span", { class: "soft" }, "It means that the run "), /^(a|bad) /.test(rule.meaning) ? `shows ${rule.meaning}.` : `${rule.meaning}.`), h("p", {}, h("span", { class: "soft" }, "Evidence: "), row.cells[5].textContent));
    if (rule.remedy) host.append(h("p", {}, h("b", {}, "What usually helps: "), rule.remedy, rule.source ? h("small", { class: "soft" }, ` (${rule.source})`) : ""));
    if (!run) return;
    const problem = study.variants[run.variant].problem, shown = study.samples[problem], panels = h("div", { class: "panels" });
    host.append(h("p", {}, h("a", { href: to(`${study.prefix}v-${run.variant}`) }, "All seeds of this variant")), panels);
    await few(study, panels, problem, [id], true);
    if (!shown || !has_samples(shown, id)) return;
    const last = shown.steps.length - 1, places = [...new Set([0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * last)))];
    const frames = h("div", { class: "frames small" });
    host.append(frames);
    const size = shown.kind === "points" ? { width: 150, height: 150 } : { width: shown.side[0], height: shown.side[1] };
    for (const [who, at, text] of [...places.map((at) => [id, at, `step ${shown.steps[at]}`]), [null, 0, "real data"]]) {
      const canvas = h("canvas", size);
      frames.append(h("figure", {}, canvas, h("figcaption", {}, text)));
      await frame(canvas, shown, who, at);
    }
  }

  // ---- put together

  function set_up(section) {
    const study = study_of(section), page = section.id.slice((study?.prefix ?? "").length);
    if (page === "grid") grid(section);
    if (page === "curves") curves(section, study);
    if (page === "samples") samples(section, study);
    if (page === "variants") {
      const rows = [...section.querySelectorAll("tr[data-variant]")], chosen = new Set();
      const overlay = h("button", { type: "button", disabled: true, onclick: () => { study.overlay([...chosen]); location.hash = `${study.prefix}curves`; } }, "Draw the ticked ones over each other");
      for (const row of rows) {
        row.cells[0].prepend(h("input", { type: "checkbox", "aria-label": `Tick ${study.variants[row.dataset.variant].label}`, onchange: (event) => {
          event.target.checked ? chosen.add(row.dataset.variant) : chosen.delete(row.dataset.variant);
          overlay.disabled = !chosen.size;
        } }));
        const name = row.cells[1];
        name.replaceChildren(h("a", { href: to(row.id), onclick: () => { if (location.hash === to(row.id)) show(); } }, ...name.childNodes));
      }
      const { field, told } = filter(section, rows, "variant");
      if (rows.length) section.querySelector(".note").after(toolbar(field, told, overlay));
      openers.set(section.id, (target) => { if (target.dataset.variant) open_variant(study, target); });
    }
    if (page === "diagnosis") {
      const rows = [...section.querySelectorAll("tr[data-run]")];
      const { field, told, by } = filter(section, rows, "run"), counts = {};
      for (const row of rows) counts[row.cells[1].textContent] = (counts[row.cells[1].textContent] || 0) + 1;
      const kinds = DATA.rules.filter((rule) => counts[rule.name]).map((rule) => [rule.name, `${rule.name} (${counts[rule.name]})`]);
      if (rows.length) section.querySelector(".note").after(toolbar(select("Verdict", [["", "any"], ...kinds], "", by), field, told));
      for (const row of rows) row.addEventListener("click", (event) => { if (!event.target.closest("a")) location.hash = to(row.id); });
      openers.set(section.id, (target) => { if (target.dataset.run) open_run(study, target); });
    }
  }
  document.documentElement.classList.add("js");
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
  sections.forEach(set_up);
  window.addEventListener("hashchange", show);
  dark.addEventListener("change", show);
  show();
})();
