"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const numbers = JSON.parse(byId("numbers").textContent);

  // Files inside the page are decoded when they are first shown.
  const bytesOf = (key) => Uint8Array.from(atob(byId("blob-" + key).textContent), (c) => c.charCodeAt(0));
  const blobOf = (key) => new Blob([bytesOf(key)], { type: byId("blob-" + key).dataset.type });
  const whenSeen = (element, then) => {
    const watcher = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) { watcher.disconnect(); then(); }
    }, { rootMargin: "200px" });
    watcher.observe(element);
  };
  const make = (tag, parent, text) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  // Tables can be sorted by any column, best first; rows without a number stay last.
  document.querySelectorAll("table.sortable").forEach((table) => {
    const headings = [...table.querySelectorAll("thead th")];
    headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const first = heading.dataset.higher === "1" ? "descending" : "ascending";
      const order = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
      headings.forEach((other) => other.setAttribute("aria-sort", other === heading ? order : "none"));
      const value = (row) => (row.cells.length === headings.length ? row.cells[column].dataset.value : "") || "";
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (column === 0 ? x.localeCompare(y, undefined, { numeric: true }) : Number(x) - Number(y));
      });
      table.tBodies[0].append(...rows);
    }));
  });

  const copied = byId("copied"), copyText = byId("copy-text");
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const text = data.copies[button.dataset.copy];
    copyText.value = text;
    try {
      await navigator.clipboard.writeText(text);
      copied.textContent = "Copied as " + button.dataset.copy + ".";
    } catch {
      copyText.hidden = false;
      copyText.select();
      copied.textContent = "The text is selected: copy it with Ctrl+C.";
    }
  }));

  // Per-image numbers: config, seed, view and every metric.
  const csv = () => {
    const quote = (cell) => (/[",\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell);
    const metrics = Object.keys(numbers.per_image);
    const lines = [["config", "seed", "view", ...metrics]];
    for (const label of data.labels)
      numbers.seeds[label].forEach((seed, s) => numbers.views.forEach((view, v) =>
        lines.push([label, seed, view, ...metrics.map((metric) => numbers.per_image[metric][label][s][v])])));
    return lines.map((line) => line.map((cell) => quote(String(cell))).join(",")).join("\n") + "\n";
  };
  document.querySelectorAll("[data-download]").forEach((button) => button.addEventListener("click", () => {
    const kind = button.dataset.download;
    const text = kind === "csv" ? csv() : JSON.stringify(numbers, null, 1);
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
    link.download = "comparison." + kind;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }));

  // Pictures. A source is "truth" or the index of a config; all canvases share one zoom and position.
  const startViewer = () => {
    const colours = Uint8Array.from(atob(data.colours), (c) => c.charCodeAt(0));
    const stage = byId("stage"), grid = byId("grid"), select = (id) => byId(id).value;
    const sources = ["truth", ...data.labels.map((_, i) => String(i))];
    const titles = ["truth", ...data.labels];
    const state = { split: 0.5, flipped: false, zoom: 1, x: 0.5, y: 0.5 };
    let cache = new Map();

    const keyOf = (view, source, layer) => view.index + ({ depth: "-d", normals: "-n" }[layer] || "-c") + source;
    const bitmap = (key) => {
      if (!cache.has(key)) cache.set(key, createImageBitmap(blobOf(key), { colorSpaceConversion: "none" }));
      return cache.get(key);
    };
    const pixels = async (key) => {
      const image = await bitmap(key);
      const canvas = make("canvas");
      canvas.width = image.width; canvas.height = image.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, image.width, image.height);
    };
    const errorMap = async (view, source) => {
      const [truth, image] = await Promise.all([pixels(keyOf(view, "truth")), pixels(keyOf(view, source))]);
      const a = truth.data, b = image.data, full = (Number(select("scale")) / 100) * 3;
      for (let i = 0; i < a.length; i += 4) {
        const error = Math.abs(a[i] - b[i]) + Math.abs(a[i + 1] - b[i + 1]) + Math.abs(a[i + 2] - b[i + 2]);
        const shade = 3 * Math.min(255, Math.round(error / full));
        b[i] = colours[shade]; b[i + 1] = colours[shade + 1]; b[i + 2] = colours[shade + 2];
      }
      return createImageBitmap(image);
    };
    const picture = (view, source) => {
      const layer = select("layer"), key = keyOf(view, source, layer);
      if (!byId("blob-" + key)) return Promise.resolve(null);
      if (layer !== "error") return bitmap(key);
      const name = key + "-e" + select("scale");
      if (!cache.has(name)) cache.set(name, errorMap(view, source));
      return cache.get(name);
    };

    const fit = (canvas, image) => {
      const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
      const height = Math.max(1, Math.round((width * image.height) / image.width));
      if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    };
    const draw = (canvas, image, from = 0, to = 1) => {
      const context = canvas.getContext("2d"), size = 1 / state.zoom;
      const left = (state.x - size / 2) * image.width, top = (state.y - size / 2) * image.height;
      context.save();
      context.beginPath();
      context.rect(from * canvas.width, 0, (to - from) * canvas.width, canvas.height);
      context.clip();
      context.imageSmoothingEnabled = state.zoom * canvas.width < 2 * image.width;
      context.drawImage(image, left, top, size * image.width, size * image.height, 0, 0, canvas.width, canvas.height);
      context.restore();
    };
    const nothing = (canvas, like) => {
      if (like) fit(canvas, like);
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = getComputedStyle(canvas).color;
      context.font = 14 * devicePixelRatio + "px system-ui";
      context.fillText("no " + select("layer"), 10, 24 * devicePixelRatio);
    };

    const figures = sources.map((source, i) => {
      const figure = make("figure", grid), canvas = make("canvas", figure);
      canvas.setAttribute("role", "img");
      return { source, canvas, caption: make("figcaption", figure), title: titles[i] };
    });
    // The median error of depth or normals, and where the normals are from.
    const surface = (view, source, layer) => {
      const parts = [data.labels[source]], error = view[layer][source];
      if (data.seeds[source].length > 1) parts[0] += " with seed " + data.seeds[source][0];
      if (layer === "normals" && data.normals[source]) parts.push(data.normals[source]);
      if (error !== null) parts.push(layer === "depth" ? (100 * error).toFixed(2) + " % off" : error.toFixed(1) + "° off");
      return parts.join(", ");
    };
    // The picture shows one seed; views are sorted by the mean over all seeds.
    const label = (view, source) => {
      if (source === "truth") return "truth";
      const layer = select("layer");
      if (layer === "depth" || layer === "normals") return surface(view, source, layer);
      const own = data.labels[source] + ", " + view.psnr[source].toFixed(2) + " dB", seeds = data.seeds[source];
      if (seeds.length === 1) return own;
      return own + " with seed " + seeds[0] + " (mean of " + seeds.length + " seeds " + view.mean[source].toFixed(2) + ")";
    };
    const shownView = () => data.views[byId("view").selectedIndex];

    let turn = 0;
    const show = async () => {
      const mine = ++turn, view = shownView(), left = select("left"), right = select("right");
      const images = await Promise.all(sources.map((source) => picture(view, source)));
      if (mine !== turn) return; // another view was selected in the meantime
      const like = images.find((image) => image);
      figures.forEach((figure, i) => {
        if (images[i]) { fit(figure.canvas, images[i]); draw(figure.canvas, images[i]); } else nothing(figure.canvas, like);
        figure.caption.textContent = label(view, figure.source);
        figure.canvas.setAttribute("aria-label", select("layer") + " of " + view.name + ": " + label(view, figure.source));
      });
      const flip = select("mode") === "flip";
      const [a, b] = [left, right].map((source) => images[sources.indexOf(source)]);
      if (like) fit(stage, like);
      stage.getContext("2d").clearRect(0, 0, stage.width, stage.height);
      if (flip) {
        const image = state.flipped ? b : a;
        if (image) draw(stage, image);
      } else {
        if (a) draw(stage, a, 0, state.split);
        if (b) draw(stage, b, state.split, 1);
        const context = stage.getContext("2d");
        context.fillStyle = "#fff"; context.fillRect(state.split * stage.width - 1.5 * devicePixelRatio, 0, 3 * devicePixelRatio, stage.height);
        context.fillStyle = "#000"; context.fillRect(state.split * stage.width - 0.5 * devicePixelRatio, 0, devicePixelRatio, stage.height);
      }
      const text = flip ? "Shown: " + label(view, state.flipped ? right : left)
        : "Left: " + label(view, left) + ". Right: " + label(view, right) + ".";
      if (byId("stage-caption").textContent !== text) byId("stage-caption").textContent = text;
      stage.setAttribute("aria-label", select("layer") + " of " + view.name + ". " + text);
      byId("split-label").hidden = flip; byId("flip").hidden = !flip;
      byId("scale-label").hidden = select("layer") !== "error";
      stage.dataset.drawn = [view.index, select("layer"), left, right, flip, state.flipped, state.split, state.zoom].join(" ");
    };

    // Controls.
    data.views.forEach((view, i) => {
      make("option", byId("view"), i + 1 + ". " + view.name + " (means " + view.apart.toFixed(2) + " dB apart)").value = i;
    });
    for (const id of ["left", "right"])
      sources.forEach((source, i) => { make("option", byId(id), titles[i]).value = source; });
    byId("left").value = data.labels.length > 1 ? "0" : "truth";
    byId("right").value = data.labels.length > 1 ? "1" : "0";
    const go = (by) => {
      const view = byId("view");
      view.selectedIndex = (view.selectedIndex + by + data.views.length) % data.views.length;
      view.dispatchEvent(new Event("change"));
    };
    byId("view").addEventListener("change", () => { cache = new Map(); show(); });
    for (const id of ["layer", "left", "right", "mode"]) byId(id).addEventListener("change", show);
    byId("scale").addEventListener("input", () => {
      byId("scale-value").value = (Number(select("scale")) / 100).toFixed(2);
      show();
    });
    byId("split").addEventListener("input", () => { state.split = Number(select("split")) / 100; show(); });
    byId("previous").addEventListener("click", () => go(-1));
    byId("next").addEventListener("click", () => go(1));
    const flip = () => { state.flipped = !state.flipped; show(); };
    byId("flip").addEventListener("click", flip);

    const move = (zoom, x, y) => {
      state.zoom = Math.min(32, Math.max(1, zoom));
      const half = 0.5 / state.zoom;
      state.x = Math.min(1 - half, Math.max(half, x));
      state.y = Math.min(1 - half, Math.max(half, y));
      stage.style.touchAction = state.zoom > 1 ? "none" : "pan-y";
      show();
    };
    const zoomBy = (factor) => move(state.zoom * factor, state.x, state.y);
    byId("zoom-in").addEventListener("click", () => zoomBy(2));
    byId("zoom-out").addEventListener("click", () => zoomBy(0.5));
    byId("zoom-reset").addEventListener("click", () => move(1, 0.5, 0.5));
    stage.addEventListener("keydown", (event) => {
      const step = 0.1 / state.zoom;
      const keys = {
        ArrowLeft: [1, -step, 0], ArrowRight: [1, step, 0], ArrowUp: [1, 0, -step], ArrowDown: [1, 0, step],
        "+": [2, 0, 0], "=": [2, 0, 0], "-": [0.5, 0, 0],
      };
      if (keys[event.key]) {
        if (state.zoom === 1 && keys[event.key][0] === 1) return; // the picture is not zoomed: let the page scroll
        const [factor, dx, dy] = keys[event.key];
        move(state.zoom * factor, state.x + dx, state.y + dy);
      } else if (event.key === "0") move(1, 0.5, 0.5);
      else if (event.key === " ") { if (select("mode") !== "flip") byId("mode").value = "flip"; flip(); }
      else return;
      event.preventDefault();
    });

    const pointers = new Map();
    for (const canvas of [stage, ...figures.map((figure) => figure.canvas)]) {
      canvas.style.touchAction = "pan-y";
      canvas.addEventListener("pointerdown", (event) => {
        pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
        canvas.setPointerCapture(event.pointerId);
        if (canvas === stage && state.zoom === 1 && select("mode") === "slider") slide(event);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!pointers.has(event.pointerId)) return;
        const old = pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
        const other = [...pointers.entries()].find(([id]) => id !== event.pointerId);
        pointers.set(event.pointerId, now);
        if (other) {
          const span = (p) => Math.hypot(p[0] - other[1][0], p[1] - other[1][1]);
          zoomBy(span(now) / Math.max(span(old), 1));
        } else if (state.zoom > 1) {
          const dx = (now[0] - old[0]) / canvas.clientWidth, dy = (now[1] - old[1]) / canvas.clientHeight;
          move(state.zoom, state.x - dx / state.zoom, state.y - dy / state.zoom);
        } else if (canvas === stage && select("mode") === "slider") slide(event);
      });
      for (const end of ["pointerup", "pointercancel"])
        canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
      canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // let the page scroll
        event.preventDefault();
        zoomBy(Math.exp(-event.deltaY / 200));
      }, { passive: false });
    }
    const slide = (event) => {
      byId("split").value = Math.min(100, Math.max(0, (100 * event.offsetX) / stage.clientWidth));
      byId("split").dispatchEvent(new Event("input"));
    };
    addEventListener("resize", show);
    show();
  };
  if (data.views.length) whenSeen(byId("pictures"), startViewer);

  // All videos have one control and one position. The others are re-synchronised if they drift from the first.
  const startFilms = () => {
    const films = data.videos.map((key) => {
      const figure = make("figure", byId("films")), film = make("video", figure);
      Object.assign(film, { muted: true, playsInline: true, preload: "auto" });
      film.src = URL.createObjectURL(blobOf(key));
      const name = data.labels[Number(key.slice(1))];
      film.setAttribute("aria-label", "fly-through of " + name);
      make("figcaption", figure, name);
      return film;
    });
    const lead = films[0], play = byId("play"), seek = byId("seek");
    let playing = false;
    const place = (time) => films.forEach((film) => { film.currentTime = time; });
    const follow = () => {
      if (!playing) return;
      films.forEach((film) => {
        if (Math.abs(film.currentTime - lead.currentTime) > 0.06) film.currentTime = lead.currentTime;
      });
      if (lead.duration) seek.value = (1000 * lead.currentTime) / lead.duration;
      requestAnimationFrame(follow);
    };
    const set = (on) => {
      playing = on;
      play.textContent = on ? "Pause" : "Play";
      play.setAttribute("aria-pressed", String(on));
      if (on) { place(lead.currentTime); films.forEach((film) => film.play().catch(() => {})); follow(); }
      else { films.forEach((film) => film.pause()); place(lead.currentTime); }
    };
    play.addEventListener("click", () => set(!playing));
    seek.addEventListener("input", () => { if (lead.duration) place((Number(seek.value) / 1000) * lead.duration); });
    lead.addEventListener("ended", () => { place(0); if (playing) films.forEach((film) => film.play().catch(() => {})); });
  };
  if (data.videos.length) whenSeen(byId("film"), startFilms);

  // Open all closed lists while the page is printed.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((list) => { list.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((list) => { list.open = false; }));
})();
