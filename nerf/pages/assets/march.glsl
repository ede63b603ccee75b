#version 300 es
// Renders one ray per pixel through the stored bricks, as nerf/pages/bricks.py does.
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp usampler3D;

uniform usampler3D index;     // of each brick: its slot from 1, or 0 and the distance to the next one
uniform sampler3D first;      // density, diffuse colour
uniform sampler3D second;     // features
uniform ivec3 atlas;          // bricks along each axis of the two textures above
uniform int bricks;           // along each axis of the box
uniform int steps;            // intervals of a ray
uniform vec2 logDensity;      // at u = 0 and u = 1
uniform vec3 background;
uniform vec3 contraction;     // near, linear and far of a contracted space; far = 0 in a box
uniform mat3 rotation;        // camera to world
uniform vec3 eye;
uniform vec2 size;            // pixels
uniform float focal;          // pixels
uniform vec3 basis[36];       // of the view dependence: 4 features times 9 spherical harmonics
out vec4 colour;

const float BRICK = 4.0;
const float LEAST_TRANSMITTANCE = 1e-3;

// The interval of a ray that can contain matter: (near, far).
vec2 interval(vec3 o, vec3 d) {
  if (contraction.z > 0.0) return contraction.xz;
  vec3 inverse = 1.0 / mix(d, vec3(1e-9), lessThan(abs(d), vec3(1e-9)));
  vec3 a = (-1.0 - o) * inverse, b = (1.0 - o) * inverse;
  vec3 low = min(a, b), high = max(a, b);
  float near = max(max(max(low.x, low.y), low.z), 0.0);
  return vec2(near, max(min(min(high.x, high.y), high.z), near));
}

// The distance along a ray at s in [0, 1], and its inverse.
float distanceAt(float s, vec2 range) {
  if (contraction.z == 0.0) return range.x + s * (range.y - range.x);
  float linear = contraction.y;
  s *= 1.0 - 0.5 * linear / range.y;
  return s < 0.5 ? range.x + 2.0 * s * (linear - range.x) : linear / (2.0 - 2.0 * s);
}

float placeAt(float t, vec2 range) {
  if (contraction.z == 0.0) return (t - range.x) / max(range.y - range.x, 1e-9);
  float linear = contraction.y;
  float s = t < linear ? 0.5 * (t - range.x) / (linear - range.x) : 1.0 - 0.5 * linear / t;
  return s / (1.0 - 0.5 * linear / range.y);
}

// The contraction of mip-NeRF 360, scaled into the unit ball.
vec3 warp(vec3 x) {
  if (contraction.z == 0.0) return x;
  float r = max(length(x), 1.0);
  return 0.5 * (2.0 - 1.0 / r) * x / r;
}

// World length per unit of length in the box.
float stretch(vec3 p) {
  if (contraction.z == 0.0) return 1.0;
  float c = clamp(2.0 * length(p), 1.0, 2.0 - 1.0 / contraction.z);
  return 2.0 / ((2.0 - c) * (2.0 - c));
}

// The distance along the ray to the end of the empty bricks around a point of the box.
float emptyLength(vec3 p, vec3 d, vec3 brick, float apart) {
  vec3 low = (brick - apart + 1.0) * 2.0 / float(bricks) - 1.0;
  vec3 high = (brick + apart) * 2.0 / float(bricks) - 1.0;
  if (contraction.z > 0.0) {
    // A unit of the world is at most half a unit of the box.
    vec3 rest = min(p - low, high - p);
    return 2.0 * min(min(rest.x, rest.y), rest.z);
  }
  vec3 safe = mix(d, vec3(1e-9), lessThan(abs(d), vec3(1e-9)));
  vec3 exits = (mix(low, high, greaterThan(safe, vec3(0.0))) - p) / safe;
  return min(min(exits.x, exits.y), exits.z);
}

// Adds the view dependence of the features along a ray.
vec3 decode(vec4 features, vec3 d) {
  float y[9] = float[9](0.28209479, -0.48860251 * d.y, 0.48860251 * d.z, -0.48860251 * d.x,
    1.09254843 * d.x * d.y, -1.09254843 * d.y * d.z, 0.31539157 * (3.0 * d.z * d.z - 1.0),
    -1.09254843 * d.x * d.z, 0.54627422 * (d.x * d.x - d.y * d.y));
  vec3 sum = vec3(0.0);
  for (int k = 0; k < 4; k++)
    for (int j = 0; j < 9; j++) sum += features[k] * y[j] * basis[9 * k + j];
  return sum;
}

void main() {
  vec2 pixel = gl_FragCoord.xy - 0.5 * size;
  vec3 d = normalize(rotation * vec3(pixel / focal, -1.0));
  vec2 range = interval(eye, d);
  vec3 diffuse = vec3(0.0);
  vec4 features = vec4(0.0);
  float transmittance = 1.0;
  int k = 0;
  while (k < steps && range.y > range.x) {
    float start = distanceAt(float(k) / float(steps), range);
    float end = distanceAt(float(k + 1) / float(steps), range);
    float t = 0.5 * (start + end);
    vec3 p = warp(eye + t * d);
    vec3 at = (p * 0.5 + 0.5) * float(bricks);
    vec3 brick = clamp(floor(at), 0.0, float(bricks - 1));
    uvec2 entry = texelFetch(index, ivec3(brick), 0).rg;
    if (entry.r == 0u) {
      // Go on at the first sample past the empty bricks.
      float past = placeAt(t + emptyLength(p, d, brick, float(entry.g)), range);
      k = max(k + 1, int(ceil(past * float(steps) - 0.501)));
      continue;
    }
    int slot = int(entry.r) - 1;
    ivec3 corner = ivec3(slot % atlas.x, slot / atlas.x % atlas.y, slot / (atlas.x * atlas.y));
    // A brick has one more texel along each side, the first of the next brick.
    vec3 texel = vec3(corner) * (BRICK + 1.0) + (at - brick) * BRICK + 0.5;
    vec3 place = texel / (vec3(atlas) * (BRICK + 1.0));
    vec4 u = texture(first, place);
    float density = exp(mix(logDensity.x, logDensity.y, u.r));
    float opacity = 1.0 - exp(-density * (end - start) / stretch(p));
    float weight = transmittance * opacity;
    diffuse += weight * u.gba;
    features += weight * (2.0 * texture(second, place) - 1.0);
    transmittance *= 1.0 - opacity;
    if (transmittance < LEAST_TRANSMITTANCE) break;
    k += 1;
  }
  vec3 seen = diffuse + decode(features, d) + transmittance * background;
  colour = vec4(clamp(seen, 0.0, 1.0), 1.0);
}
