// The camera and what moves it: touch, mouse, keyboard, bookmarks and the tour.
// A pose is {rotation: 3 columns (right, up, back), eye}; `pivot` is what an orbit turns around.

const add = (a, b, s = 1) => a.map((v, i) => v + s * b[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) =>
  [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const scaled = (a, s) => a.map((v) => v * s);
const unit = (a) => scaled(a, 1 / Math.hypot(...a));

// Rotates a vector about a unit axis (Rodrigues).
function turned(v, axis, angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return add(add(scaled(v, c), cross(axis, v), s), axis, dot(axis, v) * (1 - c));
}

// A camera-to-world matrix, 12 numbers by rows, as a pose.
function poseOf(m) {
  const column = (j) => [m[j], m[4 + j], m[8 + j]];
  return { rotation: [column(0), column(1), column(2)], eye: column(3) };
}

// A pose between two: positions and axes are mixed, and the axes made orthonormal again.
function between(a, b, share) {
  const mix = (u, v) => add(scaled(u, 1 - share), v, share);
  const back = unit(mix(a.rotation[2], b.rotation[2]));
  const right = unit(cross(mix(a.rotation[1], b.rotation[1]), back));
  return { rotation: [right, cross(back, right), back], eye: mix(a.eye, b.eye) };
}

class Controls {
  constructor(canvas, scene, changed) {
    Object.assign(this, { canvas, scene, changed, flying: false, touring: null });
    this.keys = new Set();
    this.fingers = new Map();
    this.visit(0);
    canvas.addEventListener("pointerdown", (e) => this.press(e));
    canvas.addEventListener("pointermove", (e) => this.drag(e));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (e) => this.fingers.delete(e.pointerId));
    }
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.zoom(Math.exp(0.001 * e.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key.startsWith("Arrow")) e.preventDefault();
      this.keys.add(e.key.toLowerCase());
      this.changed();
    });
    canvas.addEventListener("keyup", (e) => this.keys.delete(e.key.toLowerCase()));
    canvas.addEventListener("blur", () => this.keys.clear());
  }

  visit(number) {
    this.pose = poseOf(this.scene.views[number].pose);
    this.place();
  }

  // Puts the pivot in front of the camera, as far away as the scene's focus.
  place() {
    const away = add(this.scene.focus, this.pose.eye, -1);
    this.distance = Math.max(-dot(away, this.pose.rotation[2]), 0.1);
    this.pivot = add(this.pose.eye, this.pose.rotation[2], -this.distance);
    this.changed();
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    this.touring = null;
    this.canvas.focus();
  }

  drag(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const [dx, dy] = add(now, before, -1);
    const other = [...this.fingers].find(([id]) => id !== event.pointerId);
    this.fingers.set(event.pointerId, now);
    const side = Math.min(this.canvas.clientWidth, this.canvas.clientHeight);
    if (other) {
      const apart = (p) => Math.hypot(...add(p, other[1], -1)) + 1;
      this.zoom(apart(before) / apart(now));
      this.slide((-0.5 * dx) / side, (0.5 * dy) / side, 0);
    } else if (event.buttons > 1 || event.shiftKey) this.slide(-dx / side, dy / side, 0);
    else this.turn((-3 * dx) / side, (-3 * dy) / side);
  }

  // Turns by angles about the scene's up and the camera's right, in radians.
  turn(yaw, pitch) {
    const { up } = this.scene, { rotation, eye } = this.pose;
    const steep = dot(rotation[2], up) - Math.sign(pitch) * 0.985;
    if (steep * Math.sign(pitch) < 0 && Math.abs(dot(rotation[2], up)) > 0.985) pitch = 0;
    const sign = this.flying ? -0.5 : 1;
    const turn = (v) => turned(turned(v, rotation[0], sign * pitch), up, sign * yaw);
    const pivot = this.flying ? eye : this.pivot;
    this.pose = {
      rotation: rotation.map(turn),
      eye: add(pivot, turn(add(eye, pivot, -1))),
    };
    this.pivot = add(this.pose.eye, this.pose.rotation[2], -this.distance);
    this.changed();
  }

  // Moves right, up and forward, in units of the distance to the pivot.
  slide(right, up, forward) {
    const [x, y, z] = this.pose.rotation;
    const by = add(add(scaled(x, right), y, up), z, -forward);
    this.pose = { ...this.pose, eye: add(this.pose.eye, by, this.distance) };
    this.pivot = add(this.pivot, by, this.distance);
    this.changed();
  }

  zoom(factor) {
    this.touring = null;
    if (this.flying) return this.slide(0, 0, 1 - factor);
    this.distance *= factor;
    this.pose = { ...this.pose, eye: add(this.pivot, this.pose.rotation[2], this.distance) };
    this.changed();
  }

  // Starts or stops the tour; `tick` goes on with it.
  tour() {
    this.touring = this.touring === null ? 0 : null;
    if (this.touring === null) this.place();
    this.changed();
  }

  // Applies the keys held and the tour for a time in seconds; returns whether to go on.
  tick(seconds) {
    if (this.touring !== null) {
      const { poses, duration } = this.scene.tour;
      this.touring = (this.touring + seconds / duration) % 1;
      const at = this.touring * (poses.length - 1);
      const [a, b] = [poses[Math.floor(at)], poses[Math.floor(at) + 1]].map(poseOf);
      this.pose = between(a, b, at % 1);
      return true;
    }
    const held = (...names) => names.some((name) => this.keys.has(name));
    const axis = (plus, minus) => (held(...plus) - held(...minus)) * seconds;
    const yaw = axis(["arrowleft"], ["arrowright"]), pitch = axis(["arrowup"], ["arrowdown"]);
    if (yaw || pitch) this.turn(this.flying ? -2 * yaw : 1.5 * yaw, this.flying ? -2 * pitch : -pitch);
    const move = [axis(["d"], ["a"]), axis(["e"], ["q"]), axis(["w", "+"], ["s", "-"])];
    if (move.some(Boolean)) this.slide(...scaled(move, 0.6));
    return this.keys.size > 0;
  }
}
