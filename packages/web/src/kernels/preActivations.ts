/** WGSL of the encoder's matrix product. */
import type { Program } from './program.ts';

/** pre[B, T] = (x − b_dec) W_enc[:, n0 … n0+T) + b_enc: 64 × 64 outputs a workgroup, 4 × 4 a thread. */
export const preActivations: Program = {
  key: 'msae-pre-activations',
  storage: [
    ['x', 'read', 'f32'],
    ['W', 'read', 'f32'],
    ['b_enc', 'read', 'f32'],
    ['b_dec', 'read', 'f32'],
    ['pre', 'write', 'f32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['d', 'u32'],
    ['n', 'u32'],
    ['n0', 'u32'],
    ['tile', 'u32'],
    ['centred', 'u32'],
  ],
  code: `
var<workgroup> a_tile: array<f32, 1024>; // [k][row]
var<workgroup> w_tile: array<f32, 1024>; // [k][latent]
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let row0 = wid.y * 64u;
  let col0 = wid.x * 64u;
  let tr = (li / 16u) * 4u;
  let tc = (li % 16u) * 4u;
  var acc0 = vec4<f32>(); var acc1 = vec4<f32>(); var acc2 = vec4<f32>(); var acc3 = vec4<f32>();
  for (var k0 = 0u; k0 < u.d; k0 += 16u) {
    for (var e = li; e < 1024u; e += 256u) {
      let r = e / 16u;
      let k = e % 16u;
      var v = 0.0;
      if (row0 + r < u.rows && k0 + k < u.d) {
        v = x[(row0 + r) * u.d + k0 + k];
        if (u.centred == 1u) { v -= b_dec[k0 + k]; }
      }
      a_tile[k * 64u + r] = v;
      let kw = e / 64u;
      let c = e % 64u;
      var w = 0.0;
      if (k0 + kw < u.d && col0 + c < u.tile) { w = W[(k0 + kw) * u.n + u.n0 + col0 + c]; }
      w_tile[kw * 64u + c] = w;
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      let o = k * 64u;
      let w = vec4<f32>(w_tile[o + tc], w_tile[o + tc + 1u], w_tile[o + tc + 2u], w_tile[o + tc + 3u]);
      acc0 += a_tile[o + tr] * w;
      acc1 += a_tile[o + tr + 1u] * w;
      acc2 += a_tile[o + tr + 2u] * w;
      acc3 += a_tile[o + tr + 3u] * w;
    }
    workgroupBarrier();
  }
  for (var c = 0u; c < 4u; c++) {
    let col = col0 + tc + c;
    if (col >= u.tile) { continue; }
    let b = b_enc[u.n0 + col];
    let sums = vec4<f32>(acc0[c], acc1[c], acc2[c], acc3[c]);
    for (var r = 0u; r < 4u; r++) {
      if (row0 + tr + r < u.rows) { pre[(row0 + tr + r) * u.tile + col] = sums[r] + b; }
    }
  }
}`,
};
