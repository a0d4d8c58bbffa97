/** Values of options, out of their text. Every function throws a MsaeError `option` that names the option, the text and what was expected. */
import { didYouMean, msaeError } from '@msae/schema';

/** A whole number of at least `least`. */
export function wholeNumber(option: string, text: string, least = 1): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value;
  throw msaeError('option', `--${option}: expected a whole number of at least ${least}, got '${text}'`);
}

/** A finite number greater than `above`. */
export function numberAbove(option: string, text: string, above: number): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > above) return value;
  throw msaeError('option', `--${option}: expected a number > ${above}, got '${text}'`);
}

/** One of `allowed`. */
export function oneOf<const T extends readonly string[]>(
  option: string,
  text: string,
  allowed: T,
): T[number] {
  if (allowed.includes(text)) return text;
  throw msaeError(
    'option',
    `--${option}: expected one of ${allowed.join(', ')}; got '${text}'${didYouMean(text, allowed)}`,
  );
}
