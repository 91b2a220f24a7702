// The world as a flat map (Mercator), without any server but ours: coastlines of Natural Earth, a grid with degrees, and
// a scale.

// Beyond these degrees the map ends.
const MOST = 85.05;
// The Earth's girth in metres.
const GIRTH = 40075017;
const STEPS = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001];
const GRID_PIXELS = 90;
const ROUND = [1, 2, 5];

// Degrees to a place from 0 to 1, from the north-west.
export function place(latitude, longitude) {
  const lat = (Math.max(-MOST, Math.min(MOST, latitude)) * Math.PI) / 180;
  return [(longitude + 180) / 360, 0.5 - Math.log(Math.tan(Math.PI / 4 + lat / 2)) / (2 * Math.PI)];
}

export function degrees(x, y) {
  const lat = 2 * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - Math.PI / 2;
  return [(lat * 180) / Math.PI, x * 360 - 180];
}

// Metres of a pixel at a latitude, where the world is `scale` pixels wide.
export function metres(latitude, scale) {
  return (GIRTH * Math.cos((latitude * Math.PI) / 180)) / scale;
}

export function coordinates(latitude, longitude, digits = 5) {
  const part = (value, plus, minus) => `${Math.abs(value).toFixed(digits)}° ${value < 0 ? minus : plus}`;
  return `${part(latitude, "N", "S")}, ${part(longitude, "E", "W")}`;
}

// The rings of a TopoJSON file of land, as flat lists of places with their edges. Arcs hold the steps from one point to the next.
export function rings(topology) {
  const { scale, translate } = topology.transform;
  const arcs = topology.arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
    });
  });
  const arcOf = (index) => (index >= 0 ? arcs[index] : arcs[~index].toReversed());
  const all = [];
  const walk = (geometry) => {
    for (const one of geometry.geometries || []) walk(one);
    const polygons = { Polygon: [geometry.arcs], MultiPolygon: geometry.arcs }[geometry.type] || [];
    for (const ring of polygons.flat()) {
      const points = ring.flatMap((index, at) => arcOf(index).slice(at > 0 ? 1 : 0));
      all.push(unwound(points.map(([longitude, latitude]) => place(latitude, longitude))));
    }
  };
  Object.values(topology.objects).forEach(walk);
  return all;
}

// A ring that goes on beyond the date line instead of jumping back over the whole map.
function unwound(points) {
  const flat = [];
  let turn = 0;
  points.forEach(([x, y], number) => {
    const step = number > 0 ? x - points[number - 1][0] : 0;
    if (Math.abs(step) > 0.5) turn -= Math.sign(step);
    flat.push(x + turn, y);
  });
  // Antarctica goes round the world: it is closed below the map.
  if (turn !== 0) flat.push(flat.at(-2), 1, flat[0], 1);
  return { points: Float64Array.from(flat), box: edges(flat) };
}

// The least and the largest place of a ring, so that what is elsewhere is not drawn.
function edges(flat) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  flat.forEach((value, at) => {
    const side = at % 2;
    box[side] = Math.min(box[side], value);
    box[side + 2] = Math.max(box[side + 2], value);
  });
  return box;
}

export function drawLand(pen, all, view) {
  const { left, top, scale, width, height } = view;
  const [right, bottom] = [left + width / scale, top + height / scale];
  pen.beginPath();
  // The map goes on behind its edges.
  for (let turn = Math.floor(left) - 1; turn <= Math.floor(right) + 1; turn += 1) {
    for (const { points, box } of all) {
      if (box[0] + turn > right || box[2] + turn < left || box[1] > bottom || box[3] < top) continue;
      for (let at = 0; at < points.length; at += 2) {
        const [x, y] = [(points[at] + turn - left) * scale, (points[at + 1] - top) * scale];
        if (at === 0) pen.moveTo(x, y);
        else pen.lineTo(x, y);
      }
      pen.closePath();
    }
  }
  pen.fill("evenodd");
  pen.stroke();
}

// Lines of longitude and latitude at round degrees, which are written at the edges.
export function drawGrid(pen, view, ink) {
  const { left, top, scale, width, height } = view;
  const wanted = (GRID_PIXELS / scale) * 360;
  const step = STEPS.findLast((one) => one >= wanted) ?? STEPS[0];
  const digits = Math.max(0, Math.ceil(-Math.log10(step)));
  const word = (value, plus, minus) =>
    `${Math.abs(value).toFixed(digits)}°${Math.abs(value) < 1e-9 ? "" : value < 0 ? minus : plus}`;
  const [north, west] = degrees(left, top);
  const [south, east] = degrees(left + width / scale, top + height / scale);
  pen.beginPath();
  const words = [];
  for (let longitude = Math.ceil(west / step) * step; longitude <= east; longitude += step) {
    const x = Math.round((place(0, longitude)[0] - left) * scale) + 0.5;
    pen.moveTo(x, 0);
    pen.lineTo(x, height);
    const within = ((((longitude + 180) % 360) + 360) % 360) - 180;
    words.push([word(within, "E", "W"), x + 3, height - 5]);
  }
  for (let latitude = Math.ceil(Math.max(-MOST, south) / step) * step; latitude <= Math.min(MOST, north); latitude += step) {
    const y = Math.round((place(latitude, 0)[1] - top) * scale) + 0.5;
    pen.moveTo(0, y);
    pen.lineTo(width, y);
    words.push([word(latitude, "N", "S"), 4, y - 3]);
  }
  pen.strokeStyle = ink.grid;
  pen.lineWidth = 1;
  pen.stroke();
  pen.fillStyle = ink.text;
  for (const [text, x, y] of words) pen.fillText(text, x, y);
}

// A bar of a round length, in the lower right corner.
export function drawScale(pen, view, ink) {
  const { top, scale, width, height } = view;
  const [latitude] = degrees(0, top + height / scale / 2);
  const most = metres(latitude, scale) * 120;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = (ROUND.findLast((one) => one * power <= most) ?? 1) * power;
  const pixels = length / metres(latitude, scale);
  const [x, y] = [width - pixels - 12, height - 22];
  pen.strokeStyle = ink.text;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x, y - 5);
  pen.lineTo(x, y);
  pen.lineTo(x + pixels, y);
  pen.lineTo(x + pixels, y - 5);
  pen.stroke();
  pen.fillStyle = ink.text;
  const text = length >= 1000 ? `${length / 1000} km` : `${length} m`;
  pen.fillText(text, x + 4, y - 4);
}
