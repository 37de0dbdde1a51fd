// A selection on the map, as a polygon in the address: lasso=x,y,x,y ... in ten-thousandths, map=the projection.

export const UNITS = 9999;

export function polygonOf(params) {
  const values = (params.get("lasso") || "").split(",").map(Number);
  if (values.length < 6 || values.some((value) => !Number.isFinite(value))) return null;
  return values.slice(0, values.length - (values.length % 2)).map((value) => value / UNITS);
}

export const textOf = (polygon) => polygon.map((value) => Math.round(value * UNITS)).join(",");

// The rows whose point lies within the polygon (even-odd rule).
export function within(polygon, x, y) {
  const xs = polygon.filter((_, at) => at % 2 === 0), ys = polygon.filter((_, at) => at % 2 === 1);
  const left = Math.min(...xs), right = Math.max(...xs), top = Math.min(...ys), bottom = Math.max(...ys);
  const rows = new Uint32Array(x.length);
  let size = 0;
  for (let row = 0; row < x.length; row++) {
    const px = x[row], py = y[row];
    if (!(px >= left && px <= right && py >= top && py <= bottom)) continue; // NaN fails too
    let inside = false;
    for (let one = 0, other = xs.length - 1; one < xs.length; other = one++) {
      if ((ys[one] > py) !== (ys[other] > py) && px < ((xs[other] - xs[one]) * (py - ys[one])) / (ys[other] - ys[one]) + xs[one]) inside = !inside;
    }
    if (inside) rows[size++] = row;
  }
  return rows.slice(0, size);
}

// The corners of a drawn line that matter: at most `most`, in the order drawn.
export function simplified(points, most = 60) {
  const count = points.length / 2;
  if (count <= most) return points;
  const kept = [];
  for (let at = 0; at < most; at++) { const one = Math.floor((at * count) / most); kept.push(points[2 * one], points[2 * one + 1]); }
  return kept;
}
