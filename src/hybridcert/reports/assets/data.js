// Reading the data of the page. Radii and scores are whole numbers of decimal steps, rounded down where they were
// proven; here they are compared and cut off, never rounded.

const unpack = async (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};

const decimal = (steps, digits, shown = digits) => {
  const text = String(steps).padStart(digits + 1, "0");
  const end = text.length - digits;
  const fraction = text.slice(end, end + shown).replace(/0+$/, "");
  return text.slice(0, end) + (fraction ? "." + fraction : "");
};

const percent = (count, total) => {
  const tenths = Math.floor((1000 * count) / total);
  return Math.floor(tenths / 10) + "." + (tenths % 10) + " %";
};

const make = (name, properties = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for" || key === "scope") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
};

class Run {
  constructor(data) {
    Object.assign(this, data);
    this.count = this.rows.id.length;
    const { target, label } = this.rows;
    this.right = this.rows.id.map((_, row) => !target || !label || target[row] === label[row]);
    this.sorted = new Map();
  }

  radius(threshold, budget, row) {
    return this.groups.radius[threshold][budget][this.rows.group[row]];
  }

  // Radii, ascending, of the inputs that are right and certified.
  reached(threshold, budget) {
    const key = threshold + "/" + budget;
    if (!this.sorted.has(key)) {
      const shared = this.groups.radius[threshold][budget];
      const found = this.rows.group.map((group) => shared[group]);
      this.sorted.set(key, Float64Array.from(found.filter((r, row) => r >= 0 && this.right[row])).sort());
    }
    return this.sorted.get(key);
  }

  certified(threshold, budget, steps) {
    const radii = this.reached(threshold, budget);
    let low = 0;
    let high = radii.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (radii[middle] >= steps) high = middle;
      else low = middle + 1;
    }
    return radii.length - low;
  }

  // The largest radius that a share of all inputs reaches; -1 where it is not certified at all.
  quantile(threshold, budget, share) {
    const radii = this.reached(threshold, budget);
    const needed = Math.ceil((share * this.count) / 100);
    return needed > radii.length ? -1 : radii[radii.length - needed];
  }

  label(column, row) {
    return this.rows[column] ? this.rows.labels[this.rows[column][row]] : "";
  }

  fields(row) {
    const { names, columns } = this.contents.fields;
    return names.map((name, at) => [name, columns[at].values[columns[at].codes[row]]]);
  }

  preview(row) {
    if (this.contents.text) return this.contents.text[row] ?? "";
    if (!this.contents.fields) return "";
    return this.fields(row).map(([name, value]) => name + " " + (value ?? "missing")).join(" · ");
  }
}

const state = { threshold: 0, budget: 0, epsilon: 0, listeners: [] };

const changed = (change) => {
  Object.assign(state, change);
  for (const listener of state.listeners) listener(change);
};
