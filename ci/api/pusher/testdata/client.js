// client.js connects as a page would and prints what it gets, one JSON per line.
// usage: node client.js FOLDER PORT TOKEN CHANNEL...
const [folder, port, token, ...channels] = process.argv.slice(2);
const Pusher = require(folder + '/node_modules/pusher-js');
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const after = {}; // the number seen last, by channel

const pusher = new Pusher('rondo', {
  wsHost: '127.0.0.1', wsPort: +port, forceTLS: false, enabledTransports: ['ws'], disableStats: true, cluster: '',
  channelAuthorization: {
    endpoint: 'http://127.0.0.1:' + port + '/pusher/auth', transport: 'ajax',
    headers: { 'Circle-Token': token },
    paramsProvider: () => ({ after: JSON.stringify(after) }),
  },
});
pusher.connection.bind('state_change', (s) => say({ state: s.current }));
pusher.connection.bind('error', (e) => say({ error: String(e.data ? e.data.code : e.type || e) }));
for (const name of channels) {
  const channel = pusher.subscribe(name);
  channel.bind('pusher:subscription_succeeded', (d) => {
    if (!(name in after)) after[name] = d.seq;
    say({ channel: name, joined: d.seq });
  });
  channel.bind('pusher:subscription_error', (e) => say({ channel: name, refused: e.status }));
  channel.bind_global((event, data) => {
    if (event.startsWith('pusher')) return;
    if (data.seq) after[name] = data.seq;
    say({ channel: name, event, data });
  });
}
