// ---- the first screen: a cell of many variants leads to all of them

function front(section, study) {
  for (const link of section.querySelectorAll("a[data-words]")) link.href = `#${encodeURIComponent(`${study.prefix}variants?${link.dataset.words}`)}`;
}
// ---- the grid

function grid(section, study) {
  const blocks = [...section.querySelectorAll(".problem")];
  if (!blocks.length) return;
  const scores = [["0", "final"], ["1", "best"], ["2", "worst after best"], ["3", "mean over training"]];
  const others = (score) => ["0", "1", "2"].filter((one) => one !== score);
  const state = { problem: blocks[0].dataset.problem, measure: "", score: "0" };
  const bar = toolbar();
  blocks[0].before(bar);
  // by cell: its scores, their shades, and what marks diverged seeds
  const cells = once(() => new Map([...section.querySelectorAll(".map")].flatMap((map) => {
    const told = study.grid[map.closest(".problem").dataset.problem]?.[map.dataset.measure] ?? [];
    return told.length ? [...map.querySelectorAll("td > a")].map((link, at) => [link.parentElement, [...told[at].map((text) => text.split(" ")), link.textContent.includes("×") ? " ×" : ""]]) : [];
  })));
  function draw(opened = true) {
    const block = blocks.find((one) => one.dataset.problem === state.problem), maps = [...block.querySelectorAll(".map")];
    if (state.measure && !maps.some((map) => map.dataset.measure === state.measure)) state.measure = "";
    for (const one of blocks) one.hidden = one !== block;
    for (const map of maps) {
      map.hidden = state.measure !== "" && map.dataset.measure !== state.measure;
      for (const { parentElement: cell } of opened ? map.querySelectorAll("td > a") : []) {
        if (!cells().has(cell)) continue;
        const [values, shades, lost] = cells().get(cell);
        cell.className = `h${shades[Number(state.score)]}`;
        cell.firstChild.firstChild.data = values[Number(state.score)] + lost;
        cell.querySelector("small").textContent = others(state.score).map((one) => values[one]).join(" · ");
      }
      const told = map.querySelector(".shown-score"), rest = others(state.score).map((one) => scores[one][1]).join(" · ");
      if (told) told.textContent = `${scores[Number(state.score)][1]}; below: ${rest}`;
    }
    bar.replaceChildren(
      select("Problem", blocks.map((one) => [one.dataset.problem, one.dataset.problem]), state.problem, (name) => { state.problem = name; draw(); }),
      select("Measure", [["", "all"], ...maps.map((map) => [map.dataset.measure, map.dataset.title])], state.measure, (name) => { state.measure = name; draw(); }),
      select("Score", scores, state.score, (score) => { state.score = score; draw(); }),
    );
  }
  draw(false);
  openers.set(section.id, () => draw());
  // what a cell is of stands in its row, its column and its block: a title says it at once, made when it is asked for
  section.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("td"), link = cell?.querySelector("a");
    if (!link || link.title || !cells().has(cell)) return;
    const [values] = cells().get(cell), variant = study.variants[decodeURIComponent(link.hash).slice(`#${study.prefix}v-`.length)];
    link.title = `${variant?.label}: ${scores.map(([place, name]) => `${name} ${values[place]}`).join("; ")}`;
  });
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
    panel(host, place.steps, place.measures[name], name, [{ label: "", look: looks(study, [study.variants[study.runs[runs[0]].variant].label])[0], rows, onsets }], { seeds: true, single, height: 150, sync: `${study.prefix}few` });
  }
}
function copyable(text) {
  const line = h("pre", { tabindex: "0" }, text);
  const choose = () => { const range = document.createRange(); range.selectNodeContents(line); getSelection().removeAllRanges(); getSelection().addRange(range); };
  const told = h("span", { class: "soft", role: "status" });
  // a page from the disk may have no clipboard: then the line is chosen, for the reader's own keys
  const copy = async () => { choose(); try { await navigator.clipboard.writeText(text); told.textContent = " copied"; } catch { told.textContent = " chosen: copy it with Ctrl-C"; } };
  return h("div", { class: "copyable" }, line, h("button", { type: "button", onclick: copy }, "Copy"), told);
}
// What the game did, with its causes and what usually helps, which stand in a table of their own once for all runs.
function of_game(found) {
  const link = found.querySelector("a"), known = document.getElementById(decodeURIComponent(link.hash.slice(1)))?.cells;
  const rest = known ? [h("br"), h("span", { class: "soft" }, "Often: "), `${known[2].textContent}. `, h("b", {}, "Try: "), `${known[3].textContent} `, ...(known[4].querySelector("code") ? [h("span", { class: "soft" }, "The same picture: "), known[4].querySelector("code").cloneNode(true)] : [])] : [];
  return h("p", {}, h("b", {}, link.textContent), found.textContent.slice(link.textContent.length), ...rest);
}
async function open_run(study, row) {
  const id = row.id.slice(study.prefix.length), run = study.runs[id], verdict = row.cells[1].textContent, rule = RULES[verdict];
  const host = detail(row, h("h3", {}, chip(verdict), ` ${verdict}`, run && run.onset !== null && rule.failed ? ` since step ${run.onset}` : ""));
  const evidence = row.cells[5].cloneNode(true);
  evidence.querySelectorAll("small, br").forEach((one) => one.remove());
  host.append(h("p", {}, h("span", { class: "soft" }, "It means that the run "), /^(a|bad) /.test(rule.meaning) ? `shows ${rule.meaning}.` : `${rule.meaning}.`), h("p", {}, h("span", { class: "soft" }, "Evidence: "), evidence.textContent.trim()));
  for (const found of row.cells[5].querySelectorAll("small")) host.append(of_game(found));
  if (rule.remedy) host.append(h("p", {}, h("b", {}, "What usually helps: "), rule.remedy, rule.source ? h("small", { class: "soft" }, ` (${rule.source})`) : ""));
  if (!run) return;
  const command = (await study.command_of())[id];
  if (command) host.append(h("p", {}, h("span", { class: "soft" }, "To repeat this run alone:")), copyable(command));
  const problem = study.variants[run.variant].problem, shown = study.samples[problem], panels = h("div", { class: "panels" });
  const all = `${study.prefix}v-${run.variant}`;
  host.append(document.getElementById(all) ? h("p", {}, h("a", { href: to(all) }, "All seeds of this variant")) : "", panels);
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
  if (page === "findings") front(section, study);
  if (page === "grid") grid(section, study);
  if (page === "curves") curves(section, study);
  if (page === "survival") survival(section, study);
  if (page === "statistics") statistics(section, study);
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
    const verdicts = (row) => (study.variants[row.dataset.variant].runs || []).map((run) => study.runs[run].verdict ?? "");
    const values = (row) => values_of(study.variants[row.dataset.variant].label, study.variants[row.dataset.variant].problem, row.querySelector("b").textContent, ...verdicts(row));
    const { field, told, by } = filter(section, rows, "variant", values, "settings or verdicts: hinge, spectral");
    if (rows.length) section.querySelector(".note").after(toolbar(field, told, overlay));
    openers.set(section.id, (target, words) => {
      if (words) by(words);
      if (target.dataset.variant) open_variant(study, target);
    });
  }
  if (page === "diagnosis") {
    const rows = [...section.querySelectorAll("tr[data-run]")];
    const game = (row) => [...row.querySelectorAll("td small a")].map((link) => link.textContent);
    const values = (row) => values_of(row.cells[3].textContent, row.closest("table").dataset.problem, row.cells[1].textContent, row.cells[4].textContent, `seed ${row.cells[4].textContent}`, ...game(row));
    const { field, told, by, only } = filter(section, rows, "run", values, "settings, seed or findings: hinge, seed 1"), counts = {};
    for (const row of rows) counts[row.cells[1].textContent] = (counts[row.cells[1].textContent] || 0) + 1;
    const kinds = DATA.rules.filter((rule) => counts[rule.name]).map((rule) => [rule.name, `${rule.name} (${counts[rule.name]})`]);
    if (rows.length) section.querySelector(".note").after(toolbar(select("Verdict", [["", "any"], ...kinds], "", (name) => only((row) => !name || row.cells[1].textContent === name)), field, told));
    for (const row of rows) row.addEventListener("click", (event) => { if (!event.target.closest("a")) location.hash = to(row.id); });
    openers.set(section.id, (target, words) => {
      if (words) by(words);
      if (target.dataset.run !== undefined) open_run(study, target);
    });
  }
}
document.documentElement.classList.add("js");
for (const table of document.querySelectorAll("table.sortable")) sortable(table);
sections.forEach(set_up);
// a mark tells its run's evidence, which stands with its diagnosis
document.addEventListener("mouseover", (event) => {
  const mark = event.target.closest("a.chip"), row = mark && document.getElementById(decodeURIComponent(mark.hash.slice(1)));
  if (row?.dataset.run !== undefined && !mark.dataset.told) mark.title += `. ${row.cells[5].firstChild.textContent}`;
  if (mark) mark.dataset.told = "yes";
});
window.addEventListener("hashchange", show);
dark.addEventListener("change", show);
show();
