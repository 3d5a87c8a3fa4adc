// Twilio's official client for Node.js and its segment calculator as judges. Nothing of them is in the product.
//
// client URL SID TOKEN    drives the client against a simulator at URL, and fails when something is not as with Twilio
// signatures FILE         prints, as JSON, what the official validator says about each case of FILE
// segments FILE           prints, as JSON, encoding and segments of each text of FILE
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

// The packages are not beside this file, but where scripts/vendors.sh puts them.
const require = createRequire(process.env.VENDORS_NODE)
const { SegmentedMessage } = require('sms-segments-calculator')
const twilio = require('twilio')

const [verb, ...args] = process.argv.slice(2)

function verdict({ url, fields, body, secret, signature }) {
  if (fields === null) return twilio.validateRequestWithBody(secret, signature, url, body)
  const params = Object.create(null)
  for (const [name, value] of fields) (params[name] ??= []).push(value)
  return twilio.validateRequest(secret, signature, url, params)
}

function size(text) {
  const message = new SegmentedMessage(text, 'auto', false)
  return [message.encodingName, message.segmentsCount]
}

async function client(url, sid, token) {
  const api = twilio(sid, token)
  api.api.baseUrl = url
  const [from, to] = ['+12025550100', '+12025550121']
  const until = async (look, wanted) => {
    for (let tries = 0; tries < 200; tries += 1) {
      const found = await look()
      if (found.status === wanted) return found
      await sleep(50)
    }
    throw new Error(`it never became ${wanted}`)
  }
  const call = await api.calls.create({
    to, from, twiml: '<Response/>', statusCallback: 'https://calls.example.org/twilio/status?attempt=1',
    statusCallbackEvent: ['initiated', 'ringing', 'answered', 'completed'], machineDetection: 'Enable', asyncAmd: 'true',
  })
  assert.equal(call.status, 'queued')
  const ended = await until(() => api.calls(call.sid).fetch(), 'completed')
  assert.equal(ended.price, '-0.01300')
  assert.equal(ended.answeredBy, 'human')
  assert.ok(ended.dateCreated instanceof Date && ended.endTime >= ended.startTime)
  const other = await api.calls.create({ to, from, url: 'https://calls.example.org/twiml' })
  await api.calls(other.sid).update({ status: 'completed' })
  await until(() => api.calls(other.sid).fetch(), 'canceled')
  assert.equal((await api.calls.list({ to, from, pageSize: 1 })).length, 2)
  const message = await api.messages.create({ to, from, body: 'Hello', mediaUrl: ['https://m.example.org/1.png'] })
  assert.equal((await until(() => api.messages(message.sid).fetch(), 'delivered')).numSegments, '1')
  assert.equal((await api.messages.list({ to })).length, 1)
  const refused = (status, code) => (error) => error.status === status && error.code === code
  await assert.rejects(api.calls.create({ to: '12', from, url: 'https://a.example.org' }), refused(400, 21211))
  await assert.rejects(api.messages.create({ to, from }), refused(400, 21619))
  return { client: 'ok' }
}

const read = () => JSON.parse(readFileSync(args[0], 'utf8'))
const verbs = {
  client: () => client(...args),
  signatures: () => read().map(verdict),
  segments: () => read().map(size),
}
console.log(JSON.stringify(await verbs[verb]()))
