// The forecast curve and its interval as SVG. Only numbers are drawn, no text from data.

const NAMES = "http://www.w3.org/2000/svg";
const [WIDEST, HEIGHT, LEFT, RIGHT, BOTTOM, TOP] = [680, 260, 40, 24, 40, 30];
const [NEAR, FAR] = [[50, 200, 500, 1000, 5000], [100, 1000, 10000, 100000, 1000000]];

function draw(name, attrs, text) {
  const node = document.createElementNS(NAMES, name);
  for (const [key, value] of Object.entries(attrs)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** The curve of a forecast, with a text alternative. */
export function curve(forecast) {
  // In pixels of the window, so that the text keeps its size on a phone.
  const width = Math.max(280, Math.min(WIDEST, window.innerWidth - 40));
  const points = forecast.curve.filter((point) => point.n > 0);
  const most = Math.log2(points.at(-1).n);
  const least = Math.log2(points[0].n);
  const lows = Math.min(0, ...points.map((point) => point.low));
  const top = Math.max(1, ...points.map((point) => point.high));
  const x = (n) => LEFT + ((Math.log2(n) - least) / (most - least)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + ((top - value) / (top - lows)) * (HEIGHT - TOP - BOTTOM);
  const line = (values) => values.map(([n, value]) => `${x(n).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const unit = forecast.curve_unit === "score" ? "score" : "share of the gain";
  const last = points.at(-1);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", class: "curve" });
  svg.setAttribute("aria-label", `The forecast ${unit} by labels: ${points.map((point) =>
    `${point.n.toLocaleString("en")}: ${point.mean.toFixed(2)}`).join(", ")}.`);
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
      draw("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value));
  }
  for (const n of (last.n > 10000 ? FAR : NEAR).filter((tick) => tick >= points[0].n && tick <= last.n)) {
    svg.append(draw("text", { x: x(n), y: HEIGHT - 21, "text-anchor": "middle" }, n.toLocaleString("en")));
  }
  const band = [...points.map((point) => [point.n, point.high]), ...points.toReversed().map((point) => [point.n, point.low])];
  svg.append(draw("polygon", { points: line(band), class: "band" }),
    draw("polyline", { points: line(points.map((point) => [point.n, point.mean])), class: "mean" }));
  const { gain, score } = forecast.target;
  const target = forecast.curve_unit === "score" ? score : gain;
  if (target !== null && target <= top) {
    svg.append(draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(target), y2: y(target), class: "target" }),
      draw("text", { x: LEFT + 6, y: y(target) - 6, class: "target-name" }, "target"));
  }
  svg.append(draw("text", { x: width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, "labels"),
    draw("text", { x: 0, y: 12 }, unit));
  return svg;
}
