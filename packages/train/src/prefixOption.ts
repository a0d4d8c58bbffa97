/** The option `prefixes`: a scheme of the sampler, one of the user's own, or the data of one. */
import { type PrefixScheme, type PrefixSchemeData, prefixScheme } from '@msae/sampler';
import { givenBy, type Schema } from '@msae/schema';

export const schemeSchema: Schema<PrefixSchemeData> = givenBy<PrefixSchemeData>(
  'a prefix scheme of @msae/sampler, or its data',
  (value) =>
    typeof value === 'object' && value !== null && typeof (value as PrefixSchemeData).kind === 'string',
  { help: 'how prefixes are chosen at each step' },
);

/** The scheme itself. @throws MsaeError `option` for data of no scheme of the sampler */
export function schemeOf(data: PrefixSchemeData): PrefixScheme {
  return typeof data.sample === 'function' ? (data as PrefixScheme) : prefixScheme(data);
}
