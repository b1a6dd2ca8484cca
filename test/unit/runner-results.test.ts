// The test runner's own arithmetic: what ran must not vanish, and a failure must name itself.
import t from 'tap';
import { add, doctestResults, nodeTestResults, none, summary, tapResults } from '../runner/results.mjs';

const tap = `TAP version 14
1..2
# Subtest: test/unit/a.test.ts
    # Subtest: outer
        ok 1 - fine
        not ok 2 - should be equal
          ---
          diff: |
            -1
            +2
          ...
        1..2
    not ok 1 - outer # time=3ms
      ---
      at: somewhere
      ...
    ok 2 - left out # SKIP not here
    1..2
not ok 1 - test/unit/a.test.ts # time=5ms
  ---
  exitCode: 1
  ...
ok 2 - test/unit/b.test.ts
# { total: 4, pass: 2, fail: 1, skip: 1 }
`;

t.test('TAP: counts, and the innermost failure with what it says', async (t) => {
  const results = tapResults('unit', tap, 1);
  t.match(results, { passed: 2, failed: 1, skipped: 1 });
  t.equal(results.failures.length, 1);
  t.equal(results.failures[0]?.name, 'unit: should be equal');
  t.match(results.failures[0]?.detail, /-1\n.*\+2/);
  t.equal(results.skips.length, 1);
});

t.test('a program that ends badly is a failure, whatever it counted', async (t) => {
  const good = 'ok 1 - a\n# { total: 1, pass: 1 }\n';
  t.equal(tapResults('unit', good, 0).failed, 0);
  for (const [text, status] of [
    [good, 1],
    [good, 'signal SIGSEGV'],
    ['', 0],
    ['ok 1 - a\n', 0],
    ['# { total: 0 }\n', 0],
  ] as const) {
    const results = tapResults('unit', text, status);
    t.equal(results.failed, 1, `${JSON.stringify(text)} ${status}`);
    t.equal(results.failures.length, 1);
  }
});

t.test('node:test: a cancelled test has failed, and a cut report too', async (t) => {
  const text = (pass: number, fail: number, cancelled: number) =>
    `not ok 1 - x\n# pass ${pass}\n# fail ${fail}\n# cancelled ${cancelled}\n# skipped 0\n`;
  t.equal(nodeTestResults('lab', text(1, 0, 1), 1).failed, 1);
  t.equal(nodeTestResults('lab', 'ok 1 - x\n# pass 1\n', 0).failed, 1);
  t.equal(nodeTestResults('lab', 'ok 1 - x\r\n# pass 1\r\n# fail 0\r\n# cancelled 0\r\n# skipped 0\r\n', 0).failed, 0);
});

t.test('doctest: the failed case with its assertion', async (t) => {
  const text = `==========
x.cc:1:
TEST CASE:  one is two

x.cc:2: ERROR: CHECK( 1 == 2 ) is NOT correct!

==========
[doctest] test cases:  2 |  1 passed | 1 failed | 0 skipped
`;
  const results = doctestResults('test/x', text, 1);
  t.match(results, { passed: 1, failed: 1 });
  t.equal(results.failures[0]?.name, 'test/x: one is two');
  t.equal(doctestResults('test/x', 'Segmentation fault', 'signal SIGSEGV').failed, 1);
  // A sanitizer's finding after the last case.
  t.equal(doctestResults('test/x', text.replace('1 failed', '0 failed').replace('ERROR', ''), 23).failed, 1);
});

t.test('the summary names every failure and ends with the counts', async (t) => {
  const total = add(add(none(), tapResults('unit', tap, 1)), doctestResults('test/x', 'boom', 1));
  const lines = summary(total);
  t.equal(lines.at(-1), '2 passed, 2 failed, 1 skipped');
  t.match(lines.join('\n'), /skipped: left out[\s\S]*FAILED: unit: should be equal[\s\S]*FAILED: test\/x/);
});
