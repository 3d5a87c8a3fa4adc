// The reference implementation of Standard Webhooks for JavaScript: checks our signatures, and signs what we check.
// node webhook_judge.mjs <cases.json>: [{secret, id, seconds, body, signature}] -> [{verified, signature}]
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
const { Webhook } = createRequire(process.env.VENDORS_NODE)('standardwebhooks')

const cases = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const said = cases.map(({ secret, id, seconds, body, signature }) => {
    const webhook = new Webhook(secret)
    let verified = true
    try {
        webhook.verify(body, { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': signature })
    } catch {
        verified = false
    }
    return { verified, signature: webhook.sign(id, new Date(seconds * 1000), body) }
})
process.stdout.write(JSON.stringify(said))
