/** How numbers and tokens look. */

/** Four significant digits, no trailing zeros; a dash for what was not measured. */
export function number(value: number | null): string {
  if (value === null) return '–';
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return Number.isInteger(value) ? value.toLocaleString('en') : String(Number(value.toPrecision(4)));
}

export function percent(value: number | null): string {
  if (value === null) return '–';
  const p = 100 * value;
  if (p === 0 || p === 100) return `${p} %`;
  return `${p < 0.01 ? p.toExponential(0) : Number(p.toPrecision(p >= 10 ? 3 : 2))} %`;
}

/** Token text with what cannot be seen made visible: line ends, tabs, control characters, an empty token. */
export function visible(text: string): string {
  if (text === '') return '∅';
  return text
    .replace(/\r?\n/g, '⏎')
    .replace(/\t/g, '⇥')
    .replace(/\p{Cc}/gu, (c) => (c < ' ' ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : '·'))
    .replace(/[\p{Cf}\p{Zl}\p{Zp}]/gu, '·')
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd');
}
