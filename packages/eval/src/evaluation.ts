/** Evaluations as text. */

/**
 * JSON text of an evaluation: typed arrays become arrays, numbers keep six digits, numbers that are not finite become null.
 * `JSON.parse` of it serves wherever an evaluation is read (null where a metric was not finite).
 */
export function evaluationToJson(evaluation: object): string {
  return JSON.stringify(evaluation, (_key, value: unknown) => {
    if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array, rounded);
    return typeof value === 'number' ? rounded(value) : value;
  });
}

function rounded(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  return Number.isInteger(value) ? value : Number(value.toPrecision(6));
}
