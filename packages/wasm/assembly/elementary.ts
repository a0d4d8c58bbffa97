// ln and exp in float64 without tables: a module on foreign memory may have no static data.

// Natural logarithm of a positive, normal number: 2^k · m with m in [√½, √2), ln m = 2 artanh((m − 1)/(m + 1)) as a series.
export function ln(x: f64): f64 {
  let bits = reinterpret<u64>(x);
  let k = <i32>(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffff) | 0x3ff0000000000000;
  let m = reinterpret<f64>(bits);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    k++;
  }
  const s = (m - 1) / (m + 1), z = s * s;
  // |s| < 0.1716, z < 0.0295: 10 terms leave less than 1e-17
  let sum: f64 = 1.0 / 19;
  sum = sum * z + 1.0 / 17;
  sum = sum * z + 1.0 / 15;
  sum = sum * z + 1.0 / 13;
  sum = sum * z + 1.0 / 11;
  sum = sum * z + 1.0 / 9;
  sum = sum * z + 1.0 / 7;
  sum = sum * z + 1.0 / 5;
  sum = sum * z + 1.0 / 3;
  sum = sum * z + 1;
  return 2 * s * sum + <f64>k * 0.6931471805599453;
}

// e^x for x ≤ 0: 2^k · e^r with |r| ≤ ln 2 / 2 and a Taylor polynomial; 0 below −700.
export function exp(x: f64): f64 {
  if (x < -700) return 0;
  const k = nearest<f64>(x * 1.4426950408889634);
  const r = x - k * 0.6931471805599453;
  let sum: f64 = 1;
  for (let i = 14; i > 0; i--) sum = 1 + (sum * r) / <f64>i;
  return sum * reinterpret<f64>((<u64>(<i64>k + 1023)) << 52);
}
