import * as v from 'valibot';

/** The first thing wrong with a value, as `path: what`. */
export function schemaIssue(issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): string {
  const [issue] = issues;
  const path = v.getDotPath(issue) ?? 'the root';
  if (issue.input === undefined && issue.expected) return `${path}: is missing (expected ${issue.expected})`;
  return `${path}: ${issue.message}`;
}
