"use strict";
// Unpacks the stored bricks and uploads them as textures.

const SIDE = 4;  // vertices along a brick
const EDGE = SIDE + 1;  // texels along a brick: the last ones are the next brick's first

async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The slot of each brick, from 1, in the order of its index; 0 for one that is not stored.
function numberSlots(bits, n) {
  const slots = new Uint16Array(n ** 3);
  let count = 0;
  for (let i = 0; i < slots.length; i++) {
    if (bits[i >> 3] & (128 >> (i & 7))) slots[i] = ++count;
  }
  return [slots, count];
}

// For each empty brick the largest k such that all bricks less than k away are empty, up to 15.
function emptyAround(slots, n) {
  const apart = new Uint8Array(n ** 3).fill(15);
  for (let i = 0; i < slots.length; i++) if (slots[i]) apart[i] = 0;
  // The largest coordinate difference is separable: relax along each axis, both ways.
  // A chamfer transform over the 26 neighbours is exact for it, in two sweeps.
  const near = [];
  for (let x = -1; x <= 1; x++) for (let y = -1; y <= 1; y++) for (let z = -1; z <= 1; z++) {
    if ((x * 3 + y) * 3 + z < 0) near.push([x, y, z]);
  }
  for (const sign of [1, -1]) {
    for (let j = 0; j < slots.length; j++) {
      const i = sign > 0 ? j : slots.length - 1 - j;
      const x = Math.floor(i / (n * n)), y = Math.floor(i / n) % n, z = i % n;
      for (const [a, b, c] of near) {
        const [u, v, w] = [x + sign * a, y + sign * b, z + sign * c];
        if (u < 0 || v < 0 || w < 0 || u >= n || v >= n || w >= n) continue;
        apart[i] = Math.min(apart[i], apart[(u * n + v) * n + w] + 1);
      }
    }
  }
  return apart;
}

// Copies the vertices of every brick and the first ones of its neighbours into two RGBA atlases.
function fillAtlases(values, slots, n, count, shape) {
  const [width, height] = [shape[0] * EDGE, shape[1] * EDGE];
  const atlases = [0, 1].map(() => new Uint8Array(4 * width * height * shape[2] * EDGE));
  const cells = SIDE ** 3;
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i] - 1;
    if (slot < 0) continue;
    const at = [Math.floor(i / (n * n)), Math.floor(i / n) % n, i % n];
    const corner = [slot % shape[0], Math.floor(slot / shape[0]) % shape[1],
      Math.floor(slot / (shape[0] * shape[1]))].map((c) => c * EDGE);
    for (let x = 0; x < EDGE; x++) for (let y = 0; y < EDGE; y++) for (let z = 0; z < EDGE; z++) {
      const [bx, by, bz] = [at[0] + (x >> 2), at[1] + (y >> 2), at[2] + (z >> 2)];
      if (bx >= n || by >= n || bz >= n) continue;
      const owner = slots[(bx * n + by) * n + bz] - 1;
      if (owner < 0) continue;
      const from = owner * cells + ((x & 3) * SIDE + (y & 3)) * SIDE + (z & 3);
      const to = 4 * (((corner[2] + z) * height + corner[1] + y) * width + corner[0] + x);
      for (let c = 0; c < 8; c++) atlases[c >> 2][to + (c & 3)] = values[c * count * cells + from];
    }
  }
  return atlases;
}

function upload(gl, unit, format, type, internal, filter, shape, data) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage3D(gl.TEXTURE_3D, 0, internal, ...shape, 0, format, type, data);
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) {
    gl.texParameteri(gl.TEXTURE_3D, side, gl.CLAMP_TO_EDGE);
  }
  gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MAG_FILTER, filter);
}

// Uploads the three textures and returns the number of bricks along each axis of the atlases.
function uploadBricks(gl, data, n) {
  const bytes = Math.ceil(n ** 3 / 8);
  const [slots, count] = numberSlots(data.subarray(0, bytes), n);
  const apart = emptyAround(slots, n);
  // The shader reads bricks as (x, y, z), whose x varies fastest in a texture.
  const index = new Uint16Array(2 * n ** 3);
  for (let i = 0; i < slots.length; i++) {
    const [x, y, z] = [Math.floor(i / (n * n)), Math.floor(i / n) % n, i % n];
    index.set([slots[i], apart[i]], 2 * ((z * n + y) * n + x));
  }
  const side = Math.ceil(Math.cbrt(count));
  const shape = [side, side, Math.ceil(count / side ** 2)];
  const atlases = fillAtlases(data.subarray(bytes), slots, n, count, shape);
  upload(gl, 0, gl.RG_INTEGER, gl.UNSIGNED_SHORT, gl.RG16UI, gl.NEAREST, [n, n, n], index);
  const texels = shape.map((s) => s * EDGE);
  atlases.forEach((atlas, i) =>
    upload(gl, i + 1, gl.RGBA, gl.UNSIGNED_BYTE, gl.RGBA8, gl.LINEAR, texels, atlas));
  return shape;
}
