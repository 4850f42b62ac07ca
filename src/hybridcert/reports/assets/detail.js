// One input: what it is, its counts, its frontier and its certificate.

class Detail {
  constructor(run) {
    this.run = run;
    this.dialog = document.getElementById("detail");
    this.place = this.dialog.querySelector(".body");
    this.title = document.getElementById("detail-title");
    const press = (id, action) => document.getElementById(id).addEventListener("click", action);
    press("detail-close", () => this.dialog.close());
    press("detail-back", () => this.move(-1));
    press("detail-on", () => this.move(1));
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
  }

  open(row, order) {
    this.order = order;
    this.at = order.indexOf(row);
    this.show();
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  move(by) {
    this.at += by;
    this.show();
    this.dialog.scrollTop = 0;
  }

  show() {
    const row = this.order[this.at];
    const { run } = this;
    document.getElementById("detail-back").disabled = this.at === 0;
    document.getElementById("detail-on").disabled = this.at === this.order.length - 1;
    this.title.textContent = "Input " + run.rows.id[row];
    this.place.replaceChildren(
      make("p", { textContent: this.sentence(row) }),
      make("div", { className: "halves" },
        make("div", {}, ...this.content(row), ...this.counts(row)),
        make("div", {}, ...this.frontier(row))),
      ...this.certificate(row));
    this.plot(row);
  }

  sentence(row) {
    const { run } = this;
    const stopped = run.rows.stopped ? run.rows.stopped.values[run.rows.stopped.codes[row]] : "";
    if (stopped === "failed") return "The classifier failed on this input: nothing is claimed about it.";
    const target = run.rows.target ? `True label: ${run.label("target", row)}. ` : "";
    const clean = run.rows.clean ? `Without noise the base classifier answers ${run.label("clean", row)}. ` : "";
    const score = decimal(run.groups.pLower[run.rows.group[row]], run.scoreDigits);
    return `${target}${clean}The claimed label is ${run.label("label", row)}: ${run.rows.hits[row]} of ${run.rows.samples[row]} noisy copies were given it, so its smoothed score is at least ${score}.` +
      (stopped && stopped !== "all copies drawn" ? ` Sampling ended: ${stopped}.` : "");
  }

  content(row) {
    const { run } = this;
    const found = [];
    if (run.contents.text || run.contents.fields || run.images.length) found.push(make("h3", { textContent: "The input" }));
    if (run.images[row]) {
      found.push(make("img", { className: "picture", src: "data:image/png;base64," + run.images[row], alt: "The image of this input" }));
    } else if (run.images.length) {
      found.push(make("p", { className: "note", textContent: "Its image is not in this page, which holds the first ones alone." }));
    }
    if (run.contents.text) {
      const text = run.contents.text[row];
      found.push(text === null
        ? make("p", { className: "note", textContent: "Its text is not in this page, which holds the first ones alone." })
        : make("pre", { textContent: text }));
    }
    if (run.contents.fields) {
      found.push(make("dl", { className: "fields" }, ...run.fields(row).map(([name, value]) =>
        make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value ?? "missing" })))));
    }
    if (!found.length) found.push(make("p", { className: "note", textContent: "The run directory does not hold the inputs themselves." }));
    return found;
  }

  counts(row) {
    const { run } = this;
    const { counts } = run.contents;
    const total = run.rows.samples[row];
    if (!counts || !total) return [];
    const order = counts.names.map((name, at) => [name, counts.columns[at][row]]).sort((a, b) => b[1] - a[1]).slice(0, 12);
    return [
      make("h3", { textContent: "Answers about its noisy copies" }),
      make("table", {}, make("thead", {}, make("tr", {}, ...["answer", "copies", "share"].map((name) => make("th", { scope: "col", textContent: name })))),
        make("tbody", {}, ...order.map(([name, count]) => make("tr", {},
          make("th", { scope: "row", textContent: name }), make("td", { textContent: count }),
          make("td", {}, make("meter", { min: 0, max: total, value: count, "aria-label": `${name}: ${count} of ${total}` })))))),
    ];
  }

  frontier(row) {
    const { run } = this;
    const shown = [...new Set([run.own, state.threshold])];
    const head = [make("th", { scope: "col", textContent: "budget" })];
    for (const threshold of shown) {
      const at = run.ranks ? "" : ` at ${run.words.threshold} = ${run.thresholds[threshold]}`;
      head.push(make("th", { scope: "col", textContent: (run.continuous ? "radius" : "certified") + at }));
    }
    head.push(make("th", { scope: "col", textContent: "worst score at least" }));
    const cell = (threshold, budget) => {
      const radius = run.radius(threshold, budget, row);
      if (radius < 0) return make("td", {}, make("span", { className: "no", textContent: "not certified" }));
      return make("td", { textContent: run.continuous ? decimal(radius, run.digits) : "yes" });
    };
    const score = (budget) => decimal(run.groups.score[budget][run.rows.group[row]], run.scoreDigits, 4);
    return [
      make("h3", { textContent: "Its frontier" }),
      ...(run.continuous && run.budgets.length > 1 ? [make("div", { id: "detail-chart", className: "chart" }), make("ul", { id: "detail-legend", className: "legend" })] : []),
      make("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": "Frontier of this input" }, make("table", { className: "narrow" }, make("thead", {}, make("tr", {}, ...head)),
        make("tbody", {}, ...run.budgets.map((name, budget) => make("tr", {}, make("th", { scope: "row", textContent: name }),
          ...shown.map((threshold) => cell(threshold, budget)), make("td", { textContent: score(budget) })))))),
      make("p", { className: "note", textContent: "All bounds are rounded down. The worst score is the least within the budget" + (run.continuous ? ", without any continuous change." : ".") }),
    ];
  }

  plot(row) {
    const { run } = this;
    const host = document.getElementById("detail-chart");
    if (!host) return;
    const points = (threshold) => run.budgets.map((_, budget) => [budget, run.radius(threshold, budget, row)]).filter(([, y]) => y >= 0);
    const shown = [...new Set([run.own, state.threshold])];
    const top = Math.max(1, ...shown.flatMap((threshold) => points(threshold).map(([, y]) => y)));
    const step = Math.max(1, roundStep(top, 4));
    const end = Math.ceil(top / step) * step;
    const series = shown.map((threshold, at) => ({
      name: run.ranks ? "claimed" : `${run.words.threshold} = ${run.thresholds[threshold]}${at ? "" : " (claimed)"}`,
      points: points(threshold),
      hue: at ? 25 : 213,
      dash: at ? "7 3" : "none",
      kind: at ? "faint" : "chosen",
      dots: true,
      apart: run.several,
    }));
    legend(document.getElementById("detail-legend"), series);
    new Chart(host, {
      label: () => "Certified radius of this input against the budget; the same numbers are in the table below.",
      series: () => series,
      xRange: () => [-0.25, Math.max(1, run.budgets.length - 1) + 0.25],
      xTicks: (width) => budgetTicks(run, width),
      xName: run.words.budget,
      yMax: () => end,
      yTicks: () => [0, 1, 2, 3, 4].map((at) => at * step).filter((y) => y <= end).map((y) => [y, shortNumber(y / 10 ** run.digits)]),
      cursor: () => null,
      choose: () => {},
      tip: (x) => {
        const at = Math.min(run.budgets.length - 1, Math.max(0, Math.round(x)));
        const radius = run.radius(run.own, at, row);
        return { at, title: run.budgets[at], lines: [radius < 0 ? "not certified" : "radius " + decimal(radius, run.digits, run.digits - 2)] };
      },
    });
  }

  certificate(row) {
    const { run } = this;
    const line = run.rows.line?.[row];
    const heading = make("h3", { textContent: "Its certificate" });
    if (!line) return run.words.file ? [heading, make("p", { className: "note", textContent: "None was issued: no copy of this input was drawn." })] : [];
    const name = `certificate-${line}.json`;
    const place = make("div");
    const view = make("button", { type: "button", textContent: "Show it", "aria-expanded": "false" });
    view.addEventListener("click", async () => {
      const open = view.getAttribute("aria-expanded") === "true";
      const text = open ? null : await this.document(line);
      place.replaceChildren(...(open ? [] : [text === null ? this.absent() : make("pre", {
        className: "document", tabIndex: 0, role: "group", "aria-label": "Certificate", textContent: JSON.stringify(JSON.parse(text), null, 2),
      })]));
      view.setAttribute("aria-expanded", String(!open));
      view.textContent = open ? "Show it" : "Hide it";
    });
    const save = make("button", { type: "button", textContent: "Download " + name });
    save.addEventListener("click", async () => {
      const text = await this.document(line);
      if (text === null) {
        place.replaceChildren(this.absent());
        return;
      }
      const url = URL.createObjectURL(new Blob([text + "\n"], { type: "application/json" }));
      make("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    });
    return [heading,
      make("p", { textContent: `Line ${line} of ${run.words.file}. Whoever has the file can check it without this program's solver:` }),
      make("pre", { textContent: `hybridcert verify ${name}` }),
      make("div", { className: "buttons" }, view, save), place];
  }

  absent() {
    return make("p", { className: "note", textContent: "This page has no room for that certificate: it is in the file named above." });
  }

  // The line of the certificate file, byte for byte; null where the page left it out.
  async document(line) {
    this.all ??= unpack("certificates");
    const { pieces, lines } = await this.all;
    return line <= lines.length ? lines[line - 1].map((piece) => pieces[piece]).join("") : null;
  }
}
