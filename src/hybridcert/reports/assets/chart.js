// A small chart: curves or dots on linear axes, drawn anew at the width of its place so that type keeps its size.

const SVG = "http://www.w3.org/2000/svg";

const svg = (name, attributes, ...children) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

const DASHES = ["none", "7 3", "3 3", "9 3 2 3", "2 2", "12 4"];

const hueOf = (number, count) => (count < 2 ? 213 : 213 - (240 * number) / (count - 1) + 360) % 360;

// A round number of steps that divides the range into at most so many parts.
const roundStep = (range, parts) => {
  const raw = range / parts;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
};

const shortNumber = (value) => String(Number(value.toPrecision(6)));

class Chart {
  // options: label(), series(), xTicks(width), yMax(), yTicks(), xRange(), xName, yName, cursor(), tip(x), choose(x)
  constructor(host, options) {
    this.host = host;
    this.options = options;
    this.tip = make("div", { className: "tip", hidden: true, "aria-hidden": "true" });
    new ResizeObserver(() => this.draw()).observe(host);
    this.draw();
  }

  draw() {
    const width = Math.max(260, this.host.clientWidth);
    const height = Math.round(Math.min(330, Math.max(230, width * 0.62)));
    this.box = { left: 46, right: width - 12, top: 10, bottom: height - 26 };
    const picture = svg("svg", {
      viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": this.options.label(),
    });
    picture.append(...this.axes());
    for (const series of this.options.series()) picture.append(...this.curve(series));
    const cursor = this.options.cursor();
    if (cursor !== null) picture.append(this.upright(cursor));
    picture.addEventListener("pointermove", (event) => this.hover(event));
    picture.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    picture.addEventListener("click", (event) => this.options.choose(this.valueAt(event)));
    const axis = make("div", { className: "axis-name", textContent: this.options.xName, "aria-hidden": "true" });
    this.host.replaceChildren(picture, axis, this.tip);
  }

  x(value) {
    const [low, high] = this.options.xRange();
    return this.box.left + ((value - low) / (high - low)) * (this.box.right - this.box.left);
  }

  y(value) {
    return this.box.bottom - (value / this.options.yMax()) * (this.box.bottom - this.box.top);
  }

  axes() {
    const { left, right, bottom } = this.box;
    const parts = [];
    for (const [value, text] of this.options.yTicks()) {
      parts.push(svg("line", { class: "grid", x1: left, x2: right, y1: this.y(value), y2: this.y(value) }));
      parts.push(svg("text", { x: left - 7, y: this.y(value) + 4, "text-anchor": "end" }, text));
    }
    for (const [value, text] of this.options.xTicks(right - left)) {
      parts.push(svg("line", { class: "grid", x1: this.x(value), x2: this.x(value), y1: bottom, y2: bottom + 5 }));
      parts.push(svg("text", { x: this.x(value), y: bottom + 19, "text-anchor": "middle" }, text));
    }
    return parts;
  }

  curve({ points, hue, dash, kind, stepped, dots, apart }) {
    const parts = [];
    let path = "";
    points.forEach(([x, y], at) => {
      const [px, py] = [this.x(x).toFixed(1), this.y(y).toFixed(1)];
      path += at === 0 ? `M${px} ${py}` : stepped ? `V${py}H${px}` : `L${px} ${py}`;
    });
    if (points.length > 1 && !apart) {
      const line = svg("path", { class: `curve ${kind}`, d: path, "stroke-dasharray": dash });
      line.style.setProperty("--hue", hue);
      parts.push(line);
    }
    for (const [x, y] of dots ? points : []) {
      const dot = svg("circle", { class: "dot", cx: this.x(x), cy: this.y(y), r: kind === "chosen" ? 5 : 4 });
      dot.style.setProperty("--hue", hue);
      parts.push(dot);
    }
    return parts;
  }

  upright(value) {
    const { top, bottom } = this.box;
    return svg("line", { class: "cursor", x1: this.x(value), x2: this.x(value), y1: top, y2: bottom });
  }

  valueAt(event) {
    const { left, right } = this.box;
    const frame = this.host.getBoundingClientRect();
    const share = (event.clientX - frame.left - left) / (right - left);
    const [low, high] = this.options.xRange();
    return low + Math.min(1, Math.max(0, share)) * (high - low);
  }

  hover(event) {
    this.show(this.valueAt(event), event.clientY - this.host.getBoundingClientRect().top);
  }

  // Show the values at x; beside the pointer, or at the top for the keyboard.
  show(value, height = 12) {
    const { at, title, lines } = this.options.tip(value);
    this.tip.replaceChildren(make("b", { textContent: title }), ...lines.map((line) => make("div", { textContent: line })));
    this.tip.hidden = false;
    const room = this.host.clientWidth - this.tip.offsetWidth;
    const beside = this.x(at) + 14;
    this.tip.style.left = (beside > room ? Math.max(0, this.x(at) - 14 - this.tip.offsetWidth) : beside) + "px";
    this.tip.style.top = Math.max(0, Math.min(height - 20, this.host.clientHeight - this.tip.offsetHeight)) + "px";
  }

  hide() {
    this.tip.hidden = true;
  }
}

const legend = (list, series) => {
  list.replaceChildren(...series.map(({ name, hue, dash, kind }) => {
    const line = svg("line", { class: `curve ${kind}`, x1: 0, x2: 27, y1: 8, y2: 8, "stroke-dasharray": dash });
    line.style.setProperty("--hue", hue);
    const swatch = svg("svg", { class: "swatch chart", viewBox: "0 0 27 16", "aria-hidden": "true" }, line);
    return make("li", { className: kind === "chosen" ? "chosen" : "" }, swatch, name);
  }));
};
