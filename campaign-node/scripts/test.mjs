// Type-checks the tests strictly and runs them. The package has to be built.
import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)
const node = (args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' })

rmSync(join(root, 'build'), { recursive: true, force: true })
node([require.resolve('typescript/package.json').replace('package.json', 'lib/tsc.js'), '-p', 'test/tsconfig.json'])
const tests = readdirSync(join(root, 'build', 'test')).filter((name) => name.endsWith('.test.js'))
// A test that hangs is ended and named.
node(['--test', '--test-timeout=300000', ...tests.map((name) => join('build', 'test', name))])
