// A picture of a chart: title, time, every panel with its legend, on the background of the theme.

import { write } from "./chart_panel.js";
import { colour, css, dash, moment } from "./plot.js";

const EDGE = 16;
const LINE = 18;

export function picture(title, [from, to], panels) {
  const drawn = panels.filter((panel) => panel.drawn && panel.plot.plot);
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(480, ...drawn.map((panel) => panel.canvas.clientWidth)) + 2 * EDGE;
  const shown = (panel) => panel.group.lines.filter((line) => !line.hidden);
  const heights = drawn.map((panel) => panel.canvas.clientHeight + LINE * (shown(panel).length + 2));
  const height = EDGE * 2 + LINE * 2.5 + heights.reduce((sum, one) => sum + one, 0);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = css("--chart-paper");
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "top";
  const family = getComputedStyle(document.body).fontFamily;
  const say = (text, x, y, size, weight, tint) => {
    pen.font = `${weight} ${size}px ${family}`;
    pen.fillStyle = tint;
    pen.fillText(text, x, y, width - x - EDGE);
  };
  const [body, quiet] = [css("--chart-ink"), css("--chart-text")];
  say(title, EDGE, EDGE, 16, 600, body);
  say(`${moment(from)} to ${moment(to)}`, EDGE, EDGE + LINE + 4, 12, 400, quiet);
  let y = EDGE + LINE * 2.5;
  for (const panel of drawn) {
    say(panel.group.title, EDGE, y, 13, 600, body);
    y += LINE;
    const { clientWidth, clientHeight } = panel.canvas;
    pen.drawImage(panel.plot.plot.ctx.canvas, EDGE, y, clientWidth, clientHeight);
    y += clientHeight + 4;
    for (const line of shown(panel)) {
      pen.strokeStyle = colour(line.index);
      pen.lineWidth = 2;
      pen.setLineDash(dash(line.index));
      pen.beginPath();
      pen.moveTo(EDGE, y + 7);
      pen.lineTo(EDGE + 24, y + 7);
      pen.stroke();
      pen.setLineDash([]);
      const figures = ["last", "min", "mean", "max"].map((name) => `${name} ${write(line.sum?.[name], line)}`);
      say(`${line.endpoint} · ${line.what} · ${figures.join(", ")}`, EDGE + 32, y, 12, 400, quiet);
      y += LINE;
    }
    y += LINE - 4;
  }
  return canvas;
}

export function save(canvas, name) {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    // The download has begun by then.
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }, "image/png");
}
