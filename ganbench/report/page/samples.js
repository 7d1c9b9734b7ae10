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
// Draw frame `at` of a run, or the real samples; a canvas for each.
async function frame(canvas, shown, run, at) {
  if (shown.kind === "points") {
    const [real, all] = await shown.bytes(), size = shown.count * shown.axes;
    const bytes = run === null ? real : all, row = run === null ? 0 : shown.runs.indexOf(run) * shown.steps.length + at;
    frame_points(canvas, shown, bytes, row * size);
    return;
  }
  // frames stand on sheets, the real one first, then run by run; in them images stand side by side, here with a line between
  const place = run === null ? 0 : 1 + shown.runs.indexOf(run) * shown.steps.length + at, on = place % shown.on;
  const image = await shown.sheet[Math.floor(place / shown.on)](), context = canvas.getContext("2d");
  const [rows, columns] = shown.tiles, [high, wide] = shown.tile, [down, across] = [high + shown.gap, wide + shown.gap];
  const left = (on % shown.across) * columns * across, top = Math.floor(on / shown.across) * rows * down, scale = canvas.width / shown.side[0];
  context.imageSmoothingEnabled = false;
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      context.drawImage(image, left + column * across, top + row * down, wide, high, column * (wide + 1) * scale, row * (high + 1) * scale, wide * scale, high * scale);
    }
  }
}
const has_samples = (shown, run) => shown.runs.includes(run);

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
    const times = flat ? 0 : Math.max(2, Math.floor(200 / shown.side[0]));
    const sheet = () => h("canvas", flat ? { width: 240, height: 240 } : { width: shown.side[0] * times, height: shown.side[1] * times });
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
