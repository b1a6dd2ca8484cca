// `npm run demo -- --host`: on a host with SELinux, only looks. Nothing is installed, labelled or started.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { decide } from 'vm-entrypoint';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const status = spawnSync(process.execPath, [cli, 'status'], { stdio: 'inherit' });

console.log('\nWhat this host would say to the example of three levels (by context, nothing is opened):');
const clients = ['vm_unclass_client_t', 'vm_secret_client_t', 'vm_topsecret_client_t'];
for (const disk of ['vm_unclass_virtdisk_t', 'vm_secret_virtdisk_t', 'vm_topsecret_virtdisk_t']) {
  for (const client of clients) {
    try {
      const decision = decide({
        client: `unconfined_u:unconfined_r:${client}:s0-s0:c0.c1023`,
        disks: [{ context: `system_u:object_r:${disk}:s0`, format: 'raw', readOnly: true }],
      });
      console.log(`  ${client} + ${disk}: ${decision.allowed ? decision.vmContext : `refused (${decision.refusal})`}`);
    } catch (error) {
      console.log(`  not to be evaluated here: ${error.message}`);
      process.exit(status.status || 3);
    }
  }
}
process.exitCode = status.status ?? 1;
