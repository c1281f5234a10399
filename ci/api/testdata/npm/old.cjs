// Calls every method of the npm client circleci-api and prints what each
// returns, or the error, as one JSON object.
const { CircleCI } = require("circleci-api");
const [host, token, privateKey, output] = process.argv.slice(2);

async function main() {
  const api = new CircleCI({ token, vcs: { type: "github", owner: "acme", repo: "shop" }, circleHost: host + "/api/v1.1" });
  const out = {};
  const call = async (name, f) => {
    try {
      out[name] = { value: await f() };
    } catch (e) {
      out[name] = { status: e.response ? e.response.status : 0, error: e.response ? e.response.data : String(e) };
    }
  };
  await call("me", () => api.me());
  await call("projects", () => api.projects());
  await call("followProject", () => api.followProject({ vcs: { type: "github", owner: "acme", repo: "shop" } }));
  await call("recentBuilds", () => api.recentBuilds({ limit: 2 }));
  await call("builds", () => api.builds({ limit: 10, offset: 0, filter: "failed" }));
  await call("buildsFor", () => api.buildsFor("feature/x"));
  await call("build", () => api.build(1));
  await call("artifacts", () => api.artifacts(1));
  await call("latestArtifacts", () => api.latestArtifacts({ branch: "main", filter: "failed" }));
  await call("getTestMetadata", () => api.getTestMetadata(1));
  await call("retry", () => api.retry(1));
  await call("cancel", () => api.cancel(out.retry.value.build_num));
  await call("triggerBuild", () => api.triggerBuild());
  await call("triggerBuildFor", () => api.triggerBuildFor("feature/x", { options: { newBuildOptions: { build_parameters: { deploy: "true" } } } }));
  await call("addEnvVar", () => api.addEnvVar({ name: "KEY", value: "secret-1234" }));
  await call("listEnvVars", () => api.listEnvVars());
  await call("getEnvVar", () => api.getEnvVar("KEY"));
  await call("deleteEnvVar", () => api.deleteEnvVar("KEY"));
  await call("addCheckoutKey", () => api.addCheckoutKey("deploy-key"));
  await call("listCheckoutKeys", () => api.listCheckoutKeys());
  await call("getCheckoutKey", () => api.getCheckoutKey(out.addCheckoutKey.value.fingerprint));
  await call("deleteCheckoutKey", () => api.deleteCheckoutKey(out.addCheckoutKey.value.fingerprint));
  await call("addSSHKey", () => api.addSSHKey({ hostname: "host.example", private_key: privateKey }));
  await call("clearCache", () => api.clearCache());
  await call("missing", () => api.build(9999));
  require("fs").writeFileSync(output, JSON.stringify(out));
}
main().catch((e) => { console.error(e); process.exit(1); });
