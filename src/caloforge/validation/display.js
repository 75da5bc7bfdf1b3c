"use strict";
// Two showers side by side in 3D on plain canvases: cells as boxes, drawn from back to front.
(function () {
  const data = JSON.parse(document.getElementById("display-data").textContent);
  const root = document.getElementById("event-display");
  if (!data.pairs.length) { root.hidden = true; return; }
  const { detector, cells: boxes, pairs } = data;
  const range = { z: detector.z, y: detector.y, x: detector.x };
  const middle = Object.fromEntries(Object.entries(range).map(([k, [a, b]]) => [k, (a + b) / 2]));
  const radius = Math.hypot(...Object.values(range).map(([a, b]) => (b - a) / 2));
  const stops = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
  const start = { turn: -0.62, tilt: 0.32, zoom: 1 };
  const view = { ...start };
  const canvases = [...root.querySelectorAll("canvas")];
  const choice = root.querySelector("select"), slider = root.querySelector("input"), shown = root.querySelector("output");
  pairs.forEach((pair, number) => {
    const option = document.createElement("option");
    option.value = number;
    const { energy, theta } = pair.reference;
    option.textContent = `${pair.particle}, ${energy.toPrecision(3)} GeV` + (theta ? `, ${theta} degrees` : "");
    choice.append(option);
  });
  choice.value = Math.min(1, pairs.length - 1);
  const highest = Math.max(...pairs.flatMap((p) => [...p.reference.energies, ...p.generated.energies]), detector.threshold * 10);
  const lowest = Math.max(detector.threshold, 1e-4);

  function colour(energy, shade) {
    const t = Math.min(Math.max(Math.log(energy / lowest) / Math.log(highest / lowest), 0), 1) * (stops.length - 1);
    const i = Math.min(Math.floor(t), stops.length - 2);
    const mix = stops[i].map((from, k) => Math.round((from + (stops[i + 1][k] - from) * (t - i)) * shade));
    return `rgb(${mix})`;
  }

  function camera(width, height) {
    const [ct, st, cl, sl] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    const scale = view.zoom * 0.47 * Math.min(width, height * 1.25) / radius;
    return (z, y, x) => {  // the shower runs to the right, y is up
      const [dz, dy, dx] = [z - middle.z, y - middle.y, x - middle.x];
      const across = dz * ct + dx * st, away = -dz * st + dx * ct;
      return [width / 2 + scale * across, height / 2 - scale * (dy * cl - away * sl), away * cl + dy * sl];
    };
  }

  function line(g, points, style) {
    g.strokeStyle = style;
    g.beginPath();
    points.forEach(([a, b], k) => (k ? g.lineTo(a, b) : g.moveTo(a, b)));
    g.stroke();
  }

  const corners = [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 1], [1, 1, 0]];
  const edges = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
  const faces = [[[0, 1, 2, 3], 0.8], [[4, 5, 6, 7], 0.8], [[0, 1, 5, 4], 0.62], [[3, 2, 6, 7], 1], [[0, 3, 7, 4], 0.9], [[1, 2, 6, 5], 0.9]];

  function circles(project) {  // the outlines of a cylinder, front and back
    const angles = Array.from({ length: 61 }, (_, k) => (2 * Math.PI * k) / 60);
    return range.z.map((z) => angles.map((a) => project(z, range.y[1] * Math.sin(a), range.x[1] * Math.cos(a))));
  }

  function draw(canvas, shower, title) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    g.clearRect(0, 0, width, height);
    const project = camera(width, height);
    const box = corners.map(([z, y, x]) => project(range.z[z], range.y[y], range.x[x]));
    const back = box.reduce((far, p, k) => (p[2] > box[far][2] ? k : far), 0);
    g.lineWidth = 1;
    if (detector.round) circles(project).forEach((points) => line(g, points, "#d5d9e0"));
    else edges.filter((e) => e.includes(back)).forEach((e) => line(g, e.map((k) => box[k]), "#d5d9e0"));
    const [y0, x0] = shower.entry, [sy, sx] = shower.slope;
    const along = (z) => project(z, y0 + sy * z, x0 + sx * z);
    g.setLineDash([3, 4]);
    line(g, range.z.map(along), "#c8102e");
    g.setLineDash([]);
    const cut = lowest * Math.pow(highest / lowest, Number(slider.value));
    const cells = [];
    let total = 0;
    shower.cells.forEach((cell, k) => {
      const energy = shower.energies[k];
      total += energy;
      if (energy < cut) return;
      const [z, y, x, high, wide] = boxes[cell];
      cells.push({ place: [z, y, x], high, wide, energy, depth: project(z, y, x)[2] });
    });
    cells.sort((a, b) => b.depth - a.depth);
    for (const { place, high, wide, energy } of cells) {
      const grow = 0.3 + 0.16 * Math.min(Math.log(energy / lowest) / Math.log(highest / lowest), 1);
      const half = [detector.thickness * 0.33, high * grow, wide * grow];
      const p = corners.map((c) => project(...c.map((side, k) => place[k] + (2 * side - 1) * half[k])));
      for (const [ids, shade] of faces) {
        const depth = ids.reduce((sum, k) => sum + p[k][2], 0) / 4;
        if (depth > (p[0][2] + p[6][2]) / 2 - 1e-9) continue;  // faces that look away
        g.fillStyle = colour(energy, shade);
        g.beginPath();
        ids.forEach((k, n) => (n ? g.lineTo(p[k][0], p[k][1]) : g.moveTo(p[k][0], p[k][1])));
        g.closePath();
        g.fill();
      }
    }
    if (!detector.round) edges.filter((e) => !e.includes(back)).forEach((e) => line(g, e.map((k) => box[k]), "#e6e9ee"));
    g.lineWidth = 1.6;
    line(g, [range.z[0] - 0.25 * (range.z[1] - range.z[0]), range.z[0]].map(along), "#c8102e");
    g.fillStyle = "#1f2530";
    g.font = "600 15px Georgia, serif";
    g.fillText(title, 10, 20);
    g.font = "13px Georgia, serif";
    g.fillStyle = "#667085";
    const angle = shower.theta ? `, theta ${shower.theta}, phi ${shower.phi} degrees` : "";
    g.fillText(`${shower.energy.toPrecision(4)} GeV${angle}; visible ${total.toPrecision(4)} MeV in ${shower.cells.length} cells`, 10, 38);
  }

  function bar() {
    const canvas = root.querySelector(".bar"), ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    for (let k = 0; k < width; k++) {
      g.fillStyle = colour(lowest * Math.pow(highest / lowest, k / width), 1);
      g.fillRect(k, 0, 1.5, 10);
    }
    g.fillStyle = "#667085";
    g.font = "12px Georgia, serif";
    for (let power = Math.ceil(Math.log10(lowest)); power <= Math.log10(highest); power++) {
      const at = width * Math.log(Math.pow(10, power) / lowest) / Math.log(highest / lowest);
      g.fillRect(at, 0, 1, 13);
      g.fillText(`${Math.pow(10, power)} MeV`, Math.min(at, width - 52), 25);
    }
  }

  function refresh() {
    const pair = pairs[choice.value];
    draw(canvases[0], pair.reference, "Geant4");
    draw(canvases[1], pair.generated, "model");
    const cut = lowest * Math.pow(highest / lowest, Number(slider.value));
    shown.textContent = cut < 1 ? `${(1000 * cut).toPrecision(3)} keV` : `${cut.toPrecision(3)} MeV`;
  }

  choice.addEventListener("change", refresh);
  slider.addEventListener("input", refresh);
  root.querySelector("button").addEventListener("click", () => { Object.assign(view, start); refresh(); });
  canvases.slice(0, 2).forEach((canvas) => {
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      view.turn -= event.movementX * 0.008;
      view.tilt = Math.min(Math.max(view.tilt + event.movementY * 0.008, -1.5), 1.5);
      refresh();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      view.zoom = Math.min(Math.max(view.zoom * Math.exp(-event.deltaY * 0.001), 0.3), 8);
      refresh();
    }, { passive: false });
  });
  window.addEventListener("resize", () => { bar(); refresh(); });
  bar();
  refresh();
})();
