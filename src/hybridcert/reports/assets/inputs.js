// The table of inputs: searched, sorted and filtered in full, drawn for the rows in sight alone.

const BEYOND = 6;

class Inputs {
  constructor(run, open) {
    Object.assign(this, { run, open });
    this.box = document.getElementById("rows");
    this.columns = this.describe();
    this.sort = { column: null, down: false };
    this.texts = run.rows.id.map((id, row) =>
      [id, run.label("target", row), run.label("label", row), run.preview(row)].join(" ").toLowerCase());
    this.frame();
    for (const id of ["search", "show"]) {
      document.getElementById(id).addEventListener("input", () => this.select());
    }
    this.box.addEventListener("scroll", () => this.later(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
    state.listeners.push((change) => { if ("threshold" in change || "budget" in change) this.refresh(); });
    this.refresh();
  }

  // Each column: its name, whether it holds words, the value it is sorted by, and what a cell shows.
  describe() {
    const { run } = this;
    const varied = (key) => run.rows[key] && new Set(run.rows[key]).size > 1;
    const word = (name, key) => ({ name, words: true, value: (row) => run.label(key, row), show: (row) => run.label(key, row) });
    const found = [{ name: "input", words: true, value: (row) => run.rows.id[row], show: (row) => this.opener(row) }];
    if (run.contents.text || run.contents.fields) {
      found.push({ name: "content", words: true, className: "preview", value: (row) => run.preview(row), show: (row) => this.preview(row) });
    }
    if (varied("target")) found.push(word("true label", "target"));
    if (varied("label")) found.push(word("claimed", "label"));
    const { hits, samples } = run.rows;
    const alike = samples.every((count) => count === samples[0]);
    found.push({
      name: alike ? `hits of ${samples[0]}` : "hits",
      value: (row) => (samples[row] ? hits[row] / samples[row] : -1),
      show: (row) => (alike ? String(hits[row]) : `${hits[row]} / ${samples[row]}`),
    });
    const { group } = run.rows;
    const { pLower, score } = run.groups;
    found.push({ name: "score at least", value: (row) => pLower[group[row]], show: (row) => decimal(pLower[group[row]], run.scoreDigits, 4) });
    if (run.budgets.length > 1) {
      found.push({ name: "certified up to", value: (row) => this.reach(row), show: (row) => this.reachText(row) });
    }
    if (run.continuous) {
      found.push({
        name: () => "radius at " + run.budgets[state.budget],
        value: (row) => run.radius(state.threshold, state.budget, row),
        show: (row) => this.radiusText(row),
      });
    } else {
      found.push({
        name: () => "worst score at " + run.budgets[state.budget],
        value: (row) => score[state.budget][group[row]],
        show: (row) => decimal(score[state.budget][group[row]], run.scoreDigits, 4),
      });
    }
    return found;
  }

  opener(row) {
    const button = make("button", { type: "button", textContent: this.run.rows.id[row], title: "Open this input" });
    button.addEventListener("click", () => this.open(row, this.order));
    return button;
  }

  preview(row) {
    const image = this.run.images[row];
    const text = this.run.preview(row).slice(0, 120);
    return image ? [make("img", { src: "data:image/png;base64," + image, alt: "" }), text] : text;
  }

  // The budget with most changes that is certified; -1 for none.
  reach(row) {
    const { run } = this;
    let best = -1;
    for (let budget = 0; budget < run.budgets.length; budget += 1) {
      if (run.radius(state.threshold, budget, row) >= 0 && run.totals[budget] > (best < 0 ? -1 : run.totals[best])) best = budget;
    }
    return best;
  }

  reachText(row) {
    const best = this.reach(row);
    return best < 0 ? make("span", { className: "no", textContent: "not certified" }) : this.run.budgets[best];
  }

  radiusText(row) {
    const radius = this.run.radius(state.threshold, state.budget, row);
    return radius < 0 ? make("span", { className: "no", textContent: "not certified" }) : decimal(radius, this.run.digits, this.run.digits - 2);
  }

  frame() {
    this.heads = this.columns.map((column, at) => {
      const button = make("button", { type: "button" });
      button.addEventListener("click", () => this.turn(at));
      return make("th", { scope: "col", className: column.words ? "words" : "" }, button);
    });
    this.body = make("tbody");
    this.table = make("table", { "aria-rowcount": this.run.count + 1 }, this.widths(),
      make("thead", {}, make("tr", { "aria-rowindex": 1 }, ...this.heads)), this.body);
    this.box.replaceChildren(this.table);
  }

  // Columns keep their width whatever rows are in sight: that of their longest content, within reason.
  widths() {
    const { run } = this;
    const longest = (texts) => texts.reduce((most, text) => Math.max(most, text.length), 0);
    const contents = {
      input: 1.2 * longest(run.rows.id) + 2,
      content: 23,
      "true label": longest(run.rows.labels),
      claimed: longest(run.rows.labels),
      "certified up to": 1.1 * longest(run.budgets),
    };
    const wide = this.columns.map((column) => {
      const name = this.nameOf(column);
      return 0.85 * Math.min(36, Math.max(name.length + 2, contents[name] ?? 0, 7)) + 1.2;
    });
    const group = make("colgroup", {}, ...wide.map((width) => {
      const column = make("col");
      column.style.width = width + "ch";
      return column;
    }));
    this.box.style.setProperty("--count", run.count);
    this.box.style.setProperty("--wide", wide.reduce((sum, width) => sum + width, 0) + "ch");
    return group;
  }

  nameOf({ name }) {
    return typeof name === "function" ? name() : name;
  }

  turn(at) {
    const same = this.sort.column === at;
    this.sort = { column: at, down: same ? !this.sort.down : !this.columns[at].words };
    this.select();
  }

  refresh() {
    this.columns.forEach((column, at) => {
      this.heads[at].firstChild.textContent = this.nameOf(column);
    });
    this.select();
  }

  select() {
    const { run } = this;
    const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const test = {
      all: () => true,
      certified: (row) => run.radius(state.threshold, state.budget, row) >= 0,
      not: (row) => run.radius(state.threshold, state.budget, row) < 0,
      wrong: (row) => !run.right[row],
    }[document.getElementById("show").value];
    const rows = [];
    for (let row = 0; row < run.count; row += 1) {
      if (test(row) && words.every((word) => this.texts[row].includes(word))) rows.push(row);
    }
    this.order = this.sorted(rows);
    this.box.scrollTop = Math.min(this.box.scrollTop, rows.length * this.height());
    const at = run.ranks ? "" : ` at ${run.words.threshold} = ${run.thresholds[state.threshold]}`;
    document.getElementById("found").textContent = `${rows.length} of ${run.count} inputs${at}`;
    this.drawn = null;
    this.draw();
  }

  sorted(rows) {
    const { column: at, down } = this.sort;
    this.heads.forEach((head, number) => {
      head.setAttribute("aria-sort", number !== at ? "none" : down ? "descending" : "ascending");
      const text = head.firstChild.textContent.replace(/ [▾▴]$/, "");
      head.firstChild.textContent = text + (number === at ? (down ? " ▾" : " ▴") : "");
    });
    if (at === null) return rows;
    const { value, words } = this.columns[at];
    const keys = new Map(rows.map((row) => [row, value(row)]));
    const collator = new Intl.Collator("en", { numeric: true });
    const compare = words ? collator.compare : (a, b) => a - b;
    const sign = down ? -1 : 1;
    return rows.sort((a, b) => sign * compare(keys.get(a), keys.get(b)) || a - b);
  }

  height() {
    this.known ??= 2.75 * parseFloat(getComputedStyle(document.documentElement).fontSize);
    return this.known;
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const height = this.height();
    const first = Math.max(0, Math.floor(this.box.scrollTop / height) - BEYOND);
    const last = Math.min(this.order.length, first + Math.ceil(this.box.clientHeight / height) + 2 * BEYOND);
    if (this.drawn && this.drawn[0] === first && this.drawn[1] === last) return;
    this.drawn = [first, last];
    const focused = document.activeElement?.closest("#rows tr")?.getAttribute("aria-rowindex");
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.row(at));
    this.body.replaceChildren(this.filler(first * height), ...rows, this.filler((this.order.length - last) * height));
    if (focused) this.body.querySelector(`tr[aria-rowindex="${focused}"] button`)?.focus({ preventScroll: true });
  }

  filler(height) {
    const cell = make("td", { colSpan: this.columns.length });
    cell.style.height = height + "px";
    const row = make("tr", { className: "filler", "aria-hidden": "true", hidden: height === 0 }, cell);
    row.style.height = height + "px";
    return row;
  }

  row(at) {
    const row = this.order[at];
    const cells = this.columns.map(({ show, words, className }, number) => {
      const content = [show(row)].flat();
      const name = className ?? (words ? "words" : "");
      return number === 0 ? make("th", { scope: "row", className: name }, ...content) : make("td", { className: name }, ...content);
    });
    return make("tr", { "aria-rowindex": at + 2 }, ...cells);
  }

  step(event) {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("tbody tr");
    if (!move || !row) return;
    event.preventDefault();
    const index = Number(row.getAttribute("aria-rowindex")) + move;
    const at = index - 2;
    if (at < 0 || at >= this.order.length) return;
    const top = at * this.height();
    const room = this.box.clientHeight - 2 * this.height();
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
    this.draw();
    this.body.querySelector(`tr[aria-rowindex="${index}"] button`)?.focus({ preventScroll: true });
  }
}
