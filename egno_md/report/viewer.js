/* Two trajectories side by side, in step with simulated time. Canvas only: no WebGL needed. */
(() => {
  "use strict";
  const source = document.getElementById("movies");
  const root = document.getElementById("viewer");
  if (!source || !root) return;
  const RADII = { H: 0.031, C: 0.076, N: 0.071, O: 0.066, S: 0.105, P: 0.107, F: 0.057, Cl: 0.102 };
  const COLOURS = {
    H: [236, 236, 236], C: [118, 122, 128], N: [66, 103, 233], O: [226, 52, 44],
    S: [226, 180, 30], P: [240, 138, 24], F: [118, 200, 80], Cl: [60, 190, 60],
  };
  const SHADES = 6;
  const movies = JSON.parse(source.textContent).map((m) => {
    const bytes = Uint8Array.from(atob(m.positions), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const values = new Float32Array(bytes.length / 2);
    for (let i = 0; i < values.length; i++) values[i] = view.getInt16(2 * i, true) / 1000;
    return { ...m, values, atoms: m.elements.length };
  });
  const reach = Math.max(0.15, ...movies.map((m) => {
    let far = 0;
    for (let i = 0; i < 3 * m.atoms; i += 3) {
      far = Math.max(far, Math.hypot(m.values[i], m.values[i + 1], m.values[i + 2]));
    }
    return far;
  })) + 0.08;
  const FRONT = [0.32, 0.28];
  const state = { time: 0, speed: 1, zoom: 1, playing: false, turn: rotation(...FRONT) };
  const panes = [...root.querySelectorAll(".pane")].map((element, k) => ({
    canvas: element.querySelector("canvas"),
    select: element.querySelector("select"),
    output: element.querySelector("output"),
    movie: movies[Math.min(k, movies.length - 1)],
  }));
  const by = (name) => root.querySelector(`[data-do="${name}"]`);
  const slider = by("time"), clock = by("clock"), play = by("play");
  root.hidden = false;

  function rotation(x, y) {
    const [a, b, c, d] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
    return [c, 0, d, b * d, a, -b * c, -a * d, b, a * c];
  }
  function product(p, q) {
    const r = new Array(9).fill(0);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) {
      r[3 * i + j] += p[3 * i + k] * q[3 * k + j];
    }
    return r;
  }
  const rotate = (x, y) => { state.turn = product(rotation(x, y), state.turn); };

  /* Both movies run over the time they share. */
  const last = () => Math.min(...panes.map((p) => p.movie.times.at(-1)));
  const finest = () => Math.min(...panes.map((p) => p.movie.times[1] ?? Infinity));
  function frameAt(movie, time) {
    const step = movie.times.length > 1 ? movie.times.at(-1) / (movie.times.length - 1) : 1;
    let k = Math.min(movie.times.length - 1, Math.max(0, Math.round(time / step)));
    while (k > 0 && movie.times[k] > time + step / 2) k--;
    while (k < movie.times.length - 1 && movie.times[k + 1] <= time + step / 2) k++;
    return k;
  }

  let paper = [255, 255, 255];
  function readTheme() {
    const found = getComputedStyle(root).getPropertyValue("--stage").trim();
    const hex = /^#([0-9a-f]{6})$/i.exec(found);
    if (hex) paper = [0, 2, 4].map((k) => parseInt(hex[1].slice(k, k + 2), 16));
    sprites.clear();
  }
  const sprites = new Map();
  const mixed = (colour, shade) => {
    const share = 0.5 * (1 - shade / (SHADES - 1));
    return colour.map((c, k) => Math.round(c + (paper[k] - c) * share));
  };
  const css = (c, f = 1) => `rgb(${c.map((v) => Math.min(255, Math.round(v * f))).join(" ")})`;
  function sprite(colour, shade) {
    const key = `${colour}/${shade}`;
    if (!sprites.has(key)) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 96;
      const g = canvas.getContext("2d");
      const c = mixed(colour, shade);
      const light = g.createRadialGradient(34, 30, 2, 48, 48, 47);
      light.addColorStop(0, css(c.map((v) => v + (255 - v) * 0.75)));
      light.addColorStop(0.35, css(c));
      light.addColorStop(0.9, css(c, 0.62));
      light.addColorStop(1, css(c, 0.35));
      g.fillStyle = light;
      g.beginPath();
      g.arc(48, 48, 47, 0, 7);
      g.fill();
      sprites.set(key, canvas);
    }
    return sprites.get(key);
  }
  /* Along a trace colour runs from blue to yellow (cividis), told apart by all readers. */
  const along = (share) => [[0, 62, 122], [124, 123, 120], [253, 231, 75]].reduce(
    (sum, c, k) => sum.map((v, i) => v + c[i] * Math.max(0, 1 - Math.abs(2 * share - k))), [0, 0, 0]);

  function draw(pane) {
    const { canvas, movie } = pane;
    const box = canvas.getBoundingClientRect();
    const dense = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(box.width * dense), Math.round(box.height * dense)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const g = canvas.getContext("2d");
    g.fillStyle = css(paper);
    g.fillRect(0, 0, width, height);
    const scale = (state.zoom * Math.min(width, height)) / (2.15 * reach);
    const frame = frameAt(movie, state.time), t = state.turn, n = movie.atoms;
    const isTrace = movie.elements[0] === "";
    const points = [];
    for (let i = 0; i < n; i++) {
      const o = 3 * (frame * n + i);
      const [x, y, z] = [movie.values[o], movie.values[o + 1], movie.values[o + 2]];
      const depth = t[6] * x + t[7] * y + t[8] * z;
      const near = 1 / (1 - 0.16 * Math.max(-2, Math.min(2, depth / reach)));
      const size = isTrace ? 0.05 : 0.42 * (RADII[movie.elements[i]] || 0.12) + 0.018;
      const colour = isTrace ? along(n > 1 ? i / (n - 1) : 0) : COLOURS[movie.elements[i]] || [170, 110, 200];
      points.push({
        x: width / 2 + (t[0] * x + t[1] * y + t[2] * z) * scale * near,
        y: height / 2 - (t[3] * x + t[4] * y + t[5] * z) * scale * near,
        place: [x, y, z], depth, near, colour,
        size, radius: size * scale * near,
        shade: Math.round(Math.max(0, Math.min(1, 0.5 + depth / (2 * reach))) * (SHADES - 1)),
      });
    }
    const things = points.map((p) => ({ depth: p.depth, atom: p }));
    for (const [i, j] of movie.bonds) {
      const [a, b] = [points[i], points[j]];
      things.push({ depth: (a.depth + b.depth) / 2 - 1e-4, ends: [a, b] });
    }
    things.sort((p, q) => p.depth - q.depth);
    g.lineCap = isTrace ? "round" : "butt";
    for (const thing of things) {
      if (thing.atom) {
        const p = thing.atom;
        g.drawImage(sprite(p.colour, p.shade), p.x - p.radius, p.y - p.radius, 2 * p.radius, 2 * p.radius);
        continue;
      }
      const [a, b] = thing.ends;
      const wide = (isTrace ? 0.09 : 0.026) * scale * (a.near + b.near) / 2;
      const middle = [(a.x + b.x) / 2, (a.y + b.y) / 2];
      const long = Math.hypot(...a.place.map((v, k) => v - b.place[k])) || 1;
      for (const [factor, thick] of [[0.5, 1], [0.85, 0.72], [1.12, 0.3]]) {
        for (const end of [a, b]) {
          g.strokeStyle = css(mixed(end.colour, end.shade), factor);
          g.lineWidth = Math.max(1, wide * thick);
          g.beginPath();
          /* from the sphere's surface, so that no bond is drawn across the atom behind it */
          const skip = isTrace ? 0 : Math.min(0.5, (0.85 * end.size) / long);
          const other = end === a ? b : a;
          g.moveTo(end.x + (other.x - end.x) * skip, end.y + (other.y - end.y) * skip);
          g.lineTo(...middle);
          g.stroke();
        }
      }
    }
    pane.output.textContent = `frame ${frame + 1} of ${movie.times.length}${movie.note ? `, ${movie.note}` : ""}`;
  }

  let asked = false;
  function show() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; paint(); });
  }
  function paint() {
    panes.forEach(draw);
    slider.max = String(last());
    slider.value = String(state.time);
    const text = `${state.time.toFixed(3)} of ${last().toFixed(3)} ps`;
    slider.setAttribute("aria-valuetext", text);
    clock.textContent = text;
  }

  let before = 0;
  function run(now) {
    if (!state.playing) return;
    const lapse = Math.min(0.1, (now - before) / 1000);
    before = now;
    const pace = (finest() < Infinity ? finest() : last() / 100) * 24 * state.speed;
    state.time += lapse * pace;
    if (state.time > last()) state.time = 0;
    paint();
    requestAnimationFrame(run);
  }
  function toggle(on = !state.playing) {
    state.playing = on && last() > 0;
    play.textContent = state.playing ? "Pause" : "Play";
    if (state.playing) requestAnimationFrame((now) => { before = now; requestAnimationFrame(run); });
  }
  function seek(time) { state.time = Math.min(last(), Math.max(0, time)); show(); }
  function step(count) { toggle(false); seek(state.time + count * (finest() < Infinity ? finest() : 0)); }
  function zoom(factor) { state.zoom = Math.min(8, Math.max(0.3, state.zoom * factor)); show(); }
  function reset() { state.turn = rotation(...FRONT); state.zoom = 1; show(); }

  const acts = {
    play: () => toggle(), back: () => step(-1), forward: () => step(1), nearer: () => zoom(1.2),
    farther: () => zoom(1 / 1.2), reset,
  };
  for (const [name, act] of Object.entries(acts)) by(name).addEventListener("click", act);
  slider.addEventListener("input", () => { toggle(false); seek(Number(slider.value)); });
  by("speed").addEventListener("change", (event) => { state.speed = Number(event.target.value); });
  root.addEventListener("keydown", (event) => {
    if (/^(SELECT|INPUT|BUTTON)$/.test(event.target.tagName) || event.ctrlKey || event.altKey || event.metaKey) return;
    const turns = { ArrowLeft: [0, -0.12], ArrowRight: [0, 0.12], ArrowUp: [-0.12, 0], ArrowDown: [0.12, 0] };
    const keys = {
      " ": acts.play, ArrowLeft: acts.back, ArrowRight: acts.forward, Home: () => seek(0),
      End: () => seek(last()), "+": acts.nearer, "=": acts.nearer, "-": acts.farther, r: reset,
    };
    if (event.shiftKey && turns[event.key]) { rotate(...turns[event.key]); show(); }
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });
  panes.forEach((pane, k) => {
    movies.forEach((m, n) => pane.select.add(new Option(m.label, String(n))));
    pane.select.value = String(Math.min(k, movies.length - 1));
    pane.select.addEventListener("change", () => {
      pane.movie = movies[Number(pane.select.value)];
      seek(state.time);
    });
    const fingers = new Map();
    pane.canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      pane.canvas.setPointerCapture(event.pointerId);
    });
    pane.canvas.addEventListener("pointermove", (event) => {
      const from = fingers.get(event.pointerId);
      if (!from) return;
      rotate((event.clientY - from[1]) * 0.01, (event.clientX - from[0]) * 0.01);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      show();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      pane.canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    }
    pane.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== pane.canvas) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.002));
    }, { passive: false });
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => { readTheme(); show(); });
  matchMedia("print").addEventListener("change", () => { readTheme(); paint(); });
  window.addEventListener("beforeprint", () => { readTheme(); paint(); });
  window.addEventListener("afterprint", () => { readTheme(); show(); });
  new ResizeObserver(show).observe(root);
  readTheme();
  show();
})();
