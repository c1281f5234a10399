// Generates configurations with @circleci/circleci-config-sdk; sdk.sh runs it.
//
//   node sdk.js OUT
//
// The first is the sample of the package's own README, as it stands there. The
// others use every class that the package exports, the way its documentation
// describes: jobs made by code, conditions, reusable commands, executors and
// jobs with parameters, orbs, matrices, setup configurations.
const fs = require('fs');
const path = require('path');
const sdk = require('@circleci/circleci-config-sdk');

const out = process.argv[2];
const { Config, Job, Workflow, commands, executors, reusable, parameters, logic, orb, workflow } = sdk;
const node = (tag) => new executors.DockerExecutor(`cimg/node:${tag}`, 'small');
const run = (command) => new commands.Run({ command });
const save = (name, config) => fs.writeFileSync(path.join(out, `${name}.yml`), config.stringify());

// The README's code blocks that make a configuration.
function readme() {
  const file = path.join(path.dirname(require.resolve('@circleci/circleci-config-sdk/package.json')), 'README.md');
  const blocks = [...fs.readFileSync(file, 'utf8').matchAll(/```(?:typescript|javascript)\n([\s\S]*?)```/g)].map((m) => m[1]);
  const samples = blocks.filter((b) => b.includes('new CircleCI.Config'));
  if (samples.length === 0) throw new Error('the README has no sample any more');
  samples.forEach((code, i) => {
    let made = 0;
    Config.prototype.writeFile = function () { save(`readme-${i + 1}-${++made}`, this); };
    new Function('require', code)(require);
    if (made === 0) throw new Error('a sample of the README writes nothing');
  });
}

function dynamic() {
  const config = new Config();
  const flow = new Workflow('dynamic-workflow');
  for (const name of ['job-a', 'job-b']) {
    const job = new Job(name, node('lts'), [new commands.Checkout(), run(`echo ${name}`)]);
    config.addJob(job);
    flow.addJob(job, name === 'job-b' ? { requires: ['job-a'] } : undefined);
  }
  flow.addJobApproval('hold', { requires: ['job-b'] });
  save('dynamic', config.addWorkflow(flow));
}

function versions() {
  const config = new Config();
  const flow = new Workflow('versions');
  const names = ['16.19', '18.13', '19.7'].map((version) => {
    const job = new Job(`test-${version.replace('.', '-')}`, node(version), [new commands.Checkout(), run('npm test')]);
    config.addJob(job);
    flow.addJob(job);
    return job.name;
  });
  const deploy = new Job('deploy', node('18.13'), [run('npm run deploy')]);
  config.addJob(deploy);
  flow.addJob(deploy, { requires: names, context: ['production'], filters: { branches: { only: ['main', '/release-.*/'] }, tags: { only: ['/^v.*/'] } } });
  save('versions', config.addWorkflow(flow));
}

function orbs() {
  const list = new parameters.CustomParametersList([
    new parameters.CustomParameter('channel', 'string'),
    new parameters.CustomEnumParameter('event', ['fail', 'pass', 'always']),
  ]);
  const chat = new orb.OrbImport('chat', 'acme', 'chat', '1.2', 'tells people', { commands: { notify: list }, jobs: { 'on-hold': list }, executors: { default: new parameters.CustomParametersList() } });
  const config = new Config().importOrb(chat);
  const job = new Job('example', new reusable.ReusedExecutor(chat.executors.default), [
    new commands.Checkout(), new reusable.ReusedCommand(chat.commands.notify, { event: 'pass', channel: 'builds' }),
  ]);
  const flow = new Workflow('orbs').addJob(job);
  flow.jobs.push(new workflow.WorkflowJob(chat.jobs['on-hold'], { channel: 'people', event: 'always', requires: ['example'] }));
  save('orbs', config.addJob(job).addWorkflow(flow));
}

function steps() {
  const image = new executors.DockerExecutor('cimg/go:1.25', 'large', { environment: { A: 'b' }, auth: { username: '$USER', password: '$PASSWORD' } },
    [{ image: 'cimg/postgres:15.0', name: 'db', command: ['postgres', '-c', 'fsync=off'], environment: { POSTGRES_USER: 'x' } }]);
  const job = new Job('steps', image, [], { parallelism: 2, working_directory: '~/src', shell: '/bin/bash -eo pipefail', environment: { CI_MODE: 'yes' }, circleci_ip_ranges: false })
    .addStep(new commands.Checkout({ path: '.' }))
    .addStep(new commands.cache.Restore({ keys: ['v1-{{ checksum "go.sum" }}', 'v1-'] }))
    .addStep(new commands.Run({ name: 'Test', command: 'go test ./...', environment: { GOFLAGS: '-v' }, no_output_timeout: '20m', when: 'always', background: false, working_directory: 'x', shell: 'bash' }))
    .addStep(new commands.cache.Save({ key: 'v1-{{ checksum "go.sum" }}', paths: ['~/go/pkg/mod'] }))
    .addStep(new commands.SetupRemoteDocker({ version: '20.10.24', docker_layer_caching: true }))
    .addStep(new commands.StoreArtifacts({ path: 'out', destination: 'app' }))
    .addStep(new commands.StoreTestResults({ path: 'results' }))
    .addStep(new commands.workspace.Persist({ root: '.', paths: ['out'] }))
    .addStep(new commands.workspace.Attach({ at: '/tmp/workspace' }))
    .addStep(new commands.AddSSHKeys({ fingerprints: ['01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef'] }));
  const machines = [new Job('vm', new executors.MachineExecutor('large', 'ubuntu-2204:2024.01.1', true), [run('uname')]),
    new Job('mac', new executors.MacOSExecutor('15.3.0', 'large'), [run('xcodebuild')]),
    new Job('windows', new executors.WindowsExecutor(), [run('dir')])];
  const config = new Config();
  const flow = new Workflow('steps');
  for (const j of [job, ...machines]) { config.addJob(j); flow.addJob(j); }
  save('steps', config.addWorkflow(flow));
}

function reuse() {
  const config = new Config().defineParameter('deploy', 'boolean', false, 'ship it').defineParameter('size', 'enum', 'small', 'of the machine', ['small', 'large'])
    .defineParameter('times', 'integer', 2).defineParameter('greeting', 'string', 'hello');
  const executor = node('<< parameters.tag >>').toReusable('node').defineParameter('tag', 'string', 'lts');
  const hello = new reusable.ReusableCommand('hello', [run('echo << parameters.to >>')], undefined, 'greets').defineParameter('to', 'string', 'world')
    .defineParameter('after', 'steps', []).defineParameter('loud', 'boolean', true);
  const job = new reusable.ParameterizedJob('test', executor.reuse({ tag: '18.13' })).defineParameter('version', 'string', '1').defineParameter('kind', 'enum', 'unit', 'of tests', ['unit', 'all']);
  job.addStep(new reusable.ReusedCommand(hello, { to: '<< parameters.version >>', loud: false })).addStep(new reusable.ReusedCommand('hello'));
  const flow = new Workflow('reuse', [], new logic.When(new logic.conditional.And([
    new logic.conditional.Or([new logic.conditional.Truthy('<< pipeline.parameters.deploy >>'), new logic.conditional.Equal(['small', '<< pipeline.parameters.size >>'])]),
    new logic.conditional.Not(new logic.conditional.Equal(['x', '<< pipeline.git.branch >>']))])));
  flow.addJob(job, { matrix: { version: ['1', '2'], kind: ['unit', 'all'] }, preSteps: [run('before')], postSteps: [run('after')] });
  save('reuse', config.addReusableExecutor(executor).addReusableCommand(hello).addJob(job).addWorkflow(flow));
}

function setup() {
  const job = new Job('generate', node('lts'), [new commands.Checkout(), run('node make.js')]);
  save('setup', new Config(true).addJob(job).addWorkflow(new Workflow('setup', [job])));
}

for (const make of [readme, dynamic, versions, orbs, steps, reuse, setup]) make();
