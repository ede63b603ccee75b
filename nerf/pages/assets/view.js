// Draws the scene whenever the camera changes, at a resolution that holds the frame rate.

const scene = JSON.parse(document.getElementById("scene").textContent);
const canvas = document.getElementById("view");
const find = (id) => document.getElementById(id);
const SLOW = 1 / 30, FAST = 1 / 50;  // seconds of a frame that lower and raise the resolution
const LEAST = 0.15;  // of the full resolution
const state = { scale: 0.5, pending: false, last: 0, spent: [] };
let gl, places, controls;

function fail(message) {
  find("error").style.display = "grid";
  find("error").textContent = message;
}

function compile(type, source) {
  const shader = gl.createShader(type);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) {
    throw new Error(gl.getShaderInfoLog(shader));
  }
  return shader;
}

// Compiles the shader and sets what stays the same in all frames.
function prepare(shape) {
  const program = gl.createProgram();
  const corners = "#version 300 es\nvoid main() {" +
    " gl_Position = vec4(vec2(gl_VertexID % 2, gl_VertexID / 2) * 4.0 - 1.0, 0.0, 1.0); }";
  gl.attachShader(program, compile(gl.VERTEX_SHADER, corners));
  gl.attachShader(program, compile(gl.FRAGMENT_SHADER, find("shader").textContent.trim()));
  gl.linkProgram(program);
  gl.useProgram(program);
  places = (name) => gl.getUniformLocation(program, name);
  ["index", "first", "second"].forEach((name, unit) => gl.uniform1i(places(name), unit));
  gl.uniform3i(places("atlas"), ...shape);
  gl.uniform1i(places("bricks"), scene.bricks);
  gl.uniform1i(places("steps"), scene.steps);
  gl.uniform2f(places("logDensity"), ...scene.log_density);
  gl.uniform3f(places("background"), ...scene.background);
  gl.uniform3f(places("contraction"), ...scene.contraction);
  gl.uniform3fv(places("basis"), scene.basis);
}

// Draws one pose at a size in pixels, with a focal length in pixels.
function draw(pose, width, height, focal) {
  canvas.width = width;
  canvas.height = height;
  gl.viewport(0, 0, width, height);
  gl.uniformMatrix3fv(places("rotation"), false, pose.rotation.flat());
  gl.uniform3f(places("eye"), ...pose.eye);
  gl.uniform2f(places("size"), width, height);
  gl.uniform1f(places("focal"), focal);
  gl.drawArrays(gl.TRIANGLES, 0, 3);
}

// Raises or lowers the resolution by how long the last frames took, unless the user chose it.
function adapt(seconds) {
  const chosen = Number(find("quality").value);
  if (chosen) state.scale = chosen;
  else if (seconds > SLOW) state.scale = Math.max(state.scale * 0.85, LEAST);
  else if (seconds < FAST) state.scale = Math.min(state.scale * 1.05, 1);
}

function frame(now) {
  state.pending = false;
  const seconds = Math.min((now - state.last) / 1000, 0.1);
  const moving = state.moving;
  state.last = now;
  if (moving) adapt(seconds);
  state.moving = controls.tick(moving ? seconds : 1 / 60) || controls.fingers.size > 0;
  const ratio = Math.min(devicePixelRatio, 2) * state.scale;
  const size = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.ceil(side * ratio));
  draw(controls.pose, ...size, scene.focal * Math.min(...size));
  find("tour").setAttribute("aria-pressed", controls.touring !== null);
  find("note").textContent = moving && seconds
    ? `${Math.round(1 / seconds)} frames/s, ${size[0]}×${size[1]}` : "";
  if (state.moving) changed();
}

function changed() {
  if (!gl || state.pending) return;
  state.pending = true;
  requestAnimationFrame(frame);
}

function connect() {
  const views = find("views");
  scene.views.forEach(({ name }, i) => views.add(new Option(name, i)));
  views.addEventListener("change", () => {
    controls.touring = null;
    controls.visit(Number(views.value));
  });
  find("mode").addEventListener("click", () => {
    controls.flying = !controls.flying;
    find("mode").textContent = controls.flying ? "Fly" : "Orbit";
    canvas.focus();
  });
  find("tour").addEventListener("click", () => controls.tour());
  find("quality").addEventListener("change", () => {
    adapt(0);
    changed();
  });
  addEventListener("resize", changed);
  canvas.addEventListener("webglcontextlost", () => fail("The graphics were lost: reload the page."));
}

async function start() {
  const context = canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
  if (!context) return fail("This browser has no WebGL 2: open the page in another browser.");
  const data = await unpack(find("bricks").textContent);
  gl = context;
  prepare(uploadBricks(gl, data, scene.bricks));
  controls = new Controls(canvas, scene, changed);
  connect();
  changed();
  document.body.dataset.ready = "yes";
}

start().catch((error) => fail(error.message));
