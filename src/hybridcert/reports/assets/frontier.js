// The frontier: sliders for threshold, budget and distance, what is certified there, and the curves.

const SHARES = [90, 75, 50, 25, 10];
const MOST_CURVES = 6;

const spread = (count, most) => {
  if (count <= most) return [...Array(count).keys()];
  return [...Array(most).keys()].map((at) => Math.round((at * (count - 1)) / (most - 1)));
};

// Numbers of the budgets that have room for a tick, at even distances.
const budgetTicks = (run, width) => {
  const stride = Math.ceil(run.budgets.length / Math.max(2, Math.floor(width / 38)));
  return run.ticks.map((text, at) => [at, text]).filter(([at]) => at % stride === 0);
};

class Frontier {
  constructor(run) {
    this.run = run;
    this.tops = run.groups.radius.map((budgets) => budgets.flat().reduce((most, radius) => Math.max(most, radius), 1));
    this.largest = Math.max(...this.tops);
    this.step = run.continuous ? Math.max(1, roundStep(this.largest, 200)) : 1;
    this.sliders = this.connect();
    this.charts = [];
    if (run.continuous) this.charts.push(this.sharesByDistance());
    if (run.continuous && run.budgets.length > 1) this.charts.push(this.radiiByBudget());
    if (!run.continuous) this.charts.push(this.sharesByBudget());
    state.listeners.push((change) => this.update(change));
    this.update({});
  }

  connect() {
    const { run } = this;
    const found = {};
    const bind = (id, key, most, read) => {
      const input = document.getElementById(id);
      if (!input) return;
      input.closest(".control").hidden = most === 0;
      Object.assign(input, { min: 0, max: most, step: 1 });
      input.addEventListener("input", () => changed({ [key]: read(input.valueAsNumber) }));
      found[key] = input;
    };
    bind("tau", "threshold", run.thresholds.length - 1, (value) => value);
    bind("budget", "budget", run.budgets.length - 1, (value) => value);
    const steps = Math.ceil(this.largest / this.step);
    bind("epsilon", "epsilon", run.continuous ? steps : 0, (value) => value * this.step);
    document.getElementById("tau-own")?.addEventListener("click", () => changed({ threshold: run.own }));
    return found;
  }

  // Where axes end: at the largest radius for the claim, farther only where a lower threshold needs it.
  reach() {
    return Math.max(this.tops[this.run.own], this.tops[state.threshold]);
  }

  distance(steps) {
    return this.run.words.epsilon + " = " + decimal(steps, this.run.digits);
  }

  threshold(number) {
    return this.run.ranks ? "" : this.run.words.threshold + " = " + this.run.thresholds[number];
  }

  update() {
    const { run, sliders } = this;
    const show = (key, value, text) => {
      if (!sliders[key]) return;
      sliders[key].value = value;
      sliders[key].setAttribute("aria-valuetext", text);
      document.getElementById(sliders[key].id + "-value").textContent = text;
    };
    const own = state.threshold === run.own;
    show("threshold", state.threshold, this.threshold(state.threshold) + (own ? " (claimed)" : ""));
    show("budget", state.budget, run.budgets[state.budget]);
    show("epsilon", state.epsilon / this.step, run.continuous ? this.distance(state.epsilon) : "");
    const button = document.getElementById("tau-own");
    if (button) button.disabled = own;
    this.verdict();
    this.alarms();
    for (const { chart, list } of this.charts) {
      chart.draw();
      legend(list, chart.options.series());
    }
    this.table();
  }

  verdict() {
    const { run } = this;
    const count = run.certified(state.threshold, state.budget, state.epsilon);
    const against = run.budgets[state.budget] + (run.continuous ? " and " + this.distance(state.epsilon) + " together" : "");
    const at = run.ranks ? "" : `At ${this.threshold(state.threshold)}, `;
    const certified = document.getElementById("verdict");
    certified.replaceChildren(
      at, make("strong", { textContent: percent(count, run.count) }), ` of the inputs (${count} of ${run.count}) are certified`,
      run.words.right, ` against ${against}.`,
    );
  }

  alarms() {
    const found = this.run.alarms[state.threshold];
    if (!found) return;
    const { cutoff, flagged, benign, percent: share, upper } = found;
    const from = cutoff > 0 ? `flagged from ${cutoff} hits on` : "so few copies promise this only if everything is flagged";
    document.getElementById("alarms").textContent =
      `False alarms at ${this.threshold(state.threshold)}: ${flagged} of ${benign} benign inputs (${share} %), at most ${upper} %; ${from}.`;
  }

  mount(id, options) {
    const chart = new Chart(document.getElementById(id), options);
    return { chart, list: document.getElementById(id + "-legend") };
  }

  follow(chart, key, value) {
    this.sliders[key].addEventListener("focus", () => chart.show(value()));
    this.sliders[key].addEventListener("input", () => chart.show(value()));
    this.sliders[key].addEventListener("blur", () => chart.hide());
  }

  percentTicks() {
    return [0, 20, 40, 60, 80, 100].map((value) => [value, value + " %"]);
  }

  // Share of inputs against the distance, one curve for each of some budgets; every step is an input.
  sharesByDistance() {
    const { run } = this;
    const end = () => this.reach() * 1.04;
    const series = () => {
      const shown = new Set(spread(run.budgets.length, MOST_CURVES)).add(state.budget);
      return [...shown].sort((a, b) => a - b).map((budget) => {
        const radii = run.reached(state.threshold, budget);
        return {
          name: run.budgets[budget] + (radii.length ? "" : " (none)"),
          points: this.corners(radii),
          hue: hueOf(budget, run.budgets.length),
          dash: DASHES[budget % DASHES.length],
          kind: budget === state.budget ? "chosen" : "",
          stepped: true,
        };
      });
    };
    const snap = (x) => Math.round(x / this.step) * this.step;
    const mounted = this.mount("shares", {
      series,
      label: () => `Curves: ${run.words.share} against ${run.words.distance}, one for each budget, ${this.threshold(state.threshold)}. The sliders read them; the same numbers are in the table below.`,
      xRange: () => [0, end()],
      xTicks: (width) => {
        const step = roundStep(end(), width < 330 ? 4 : 7);
        const count = Math.floor(end() / step) + 1;
        return [...Array(count).keys()].map((at) => [at * step, shortNumber((at * step) / 10 ** run.digits)]);
      },
      yMax: () => 100,
      yTicks: () => this.percentTicks(),
      xName: run.words.distance,
      cursor: () => (state.epsilon <= end() ? state.epsilon : null),
      choose: (x) => changed({ epsilon: snap(x) }),
      tip: (x) => {
        const at = snap(x);
        const lines = spread(run.budgets.length, 9).map((budget) => {
          const count = run.certified(state.threshold, budget, at);
          return `${run.budgets[budget]}: ${percent(count, run.count)} (${count})`;
        });
        return { at, title: this.distance(at), lines };
      },
    });
    this.follow(mounted.chart, "epsilon", () => state.epsilon);
    return mounted;
  }

  // Corners of the step function: how many percent of all inputs reach each distance.
  corners(radii) {
    const share = (left) => (100 * left) / this.run.count;
    const points = [[0, share(radii.length)]];
    radii.forEach((radius, at) => {
      if (at === 0 || radius !== radii[at - 1]) points.push([radius, share(radii.length - at)]);
    });
    points.push([points.at(-1)[0], 0]);
    return points;
  }

  budgetAxis() {
    const { run } = this;
    const last = run.budgets.length - 1;
    return {
      xRange: () => [-0.25, Math.max(last, 1) + 0.25],
      xTicks: (width) => budgetTicks(run, width),
      xName: run.words.budget,
      cursor: () => state.budget,
      choose: (x) => changed({ budget: Math.min(last, Math.max(0, Math.round(x))) }),
    };
  }

  // The radius that a share of the inputs reaches, against the budget.
  radiiByBudget() {
    const { run } = this;
    const top = () => roundStep(this.reach(), 5);
    const end = () => Math.ceil(this.reach() / top()) * top();
    const series = () => SHARES.map((share, at) => ({
      name: `${share} % of inputs`,
      points: run.budgets.map((_, budget) => [budget, run.quantile(state.threshold, budget, share)]).filter(([, y]) => y >= 0),
      hue: hueOf(at, SHARES.length),
      dash: DASHES[at],
      kind: share === 50 ? "chosen" : "faint",
      dots: true,
      apart: run.several,
    }));
    const mounted = this.mount("radii", {
      ...this.budgetAxis(),
      series,
      label: () => `Radius that 90, 75, 50, 25 and 10 % of the inputs reach, against the budget, ${this.threshold(state.threshold)}.`,
      yMax: end,
      yTicks: () => [0, 1, 2, 3, 4, 5].map((at) => at * top()).filter((y) => y <= end())
        .map((y) => [y, shortNumber(y / 10 ** run.digits)]),
      tip: (x) => {
        const at = Math.min(run.budgets.length - 1, Math.max(0, Math.round(x)));
        const lines = SHARES.map((share) => {
          const radius = run.quantile(state.threshold, at, share);
          return `${share} %: ${radius < 0 ? "not certified" : "radius " + decimal(radius, run.digits, run.digits - 2)}`;
        });
        return { at, title: run.budgets[at], lines };
      },
    });
    this.follow(mounted.chart, "budget", () => state.budget);
    return mounted;
  }

  // Without continuous noise: share of inputs against the budget, for this threshold and those that were asked for.
  sharesByBudget() {
    const { run } = this;
    const share = (threshold, budget) => (100 * run.certified(threshold, budget, 0)) / run.count;
    const drawn = () => [...new Set([...run.asked, state.threshold])].sort((a, b) => a - b);
    const series = () => drawn().map((threshold) => ({
      name: this.threshold(threshold) || run.words.counted,
      points: run.budgets.map((_, budget) => [budget, share(threshold, budget)]),
      hue: hueOf(threshold, run.thresholds.length),
      dash: threshold === state.threshold ? "none" : DASHES[1 + (run.asked.indexOf(threshold) % 5)],
      kind: threshold === state.threshold ? "chosen" : "faint",
      dots: true,
      apart: run.several,
    }));
    const mounted = this.mount("shares", {
      ...this.budgetAxis(),
      series,
      label: () => `Share of inputs that is certified against the budget, ${this.threshold(state.threshold)}. The same numbers are in the table below.`,
      yMax: () => 100,
      yTicks: () => this.percentTicks(),
      tip: (x) => {
        const at = Math.min(run.budgets.length - 1, Math.max(0, Math.round(x)));
        const lines = drawn().map((threshold) => {
          const count = run.certified(threshold, at, 0);
          return `${this.threshold(threshold)} ${percent(count, run.count)} (${count})`.trim();
        });
        return { at, title: run.budgets[at], lines };
      },
    });
    this.follow(mounted.chart, "budget", () => state.budget);
    return mounted;
  }

  // The same numbers as text, for the threshold that is chosen.
  table() {
    const { run } = this;
    const place = document.getElementById("shares-table");
    const steps = run.continuous ? Math.max(1, roundStep(this.reach(), 8)) : 1;
    const count = run.continuous ? Math.floor(this.reach() / steps) + 1 : 1;
    const columns = [...Array(count).keys()].map((at) => at * steps);
    const head = columns.map((at) => make("th", { scope: "col", textContent: run.continuous ? this.distance(at) : run.words.counted }));
    const rows = run.budgets.map((name, budget) => make("tr", {},
      make("th", { scope: "row", textContent: name }),
      ...columns.map((at) => {
        const found = run.certified(state.threshold, budget, at);
        return make("td", {}, String(found), make("small", { textContent: percent(found, run.count) }));
      })));
    place.replaceChildren(make("table", {},
      make("caption", { className: "note", textContent: `Inputs that are certified${run.words.right}, of ${run.count}${run.ranks ? "" : ", at " + this.threshold(state.threshold)}; percentages rounded down` }),
      make("thead", {}, make("tr", {}, make("td"), ...head)),
      make("tbody", {}, ...rows)));
  }
}
