# Starts programs of the machine that go on by themselves.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import subprocess


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for command in (
        "nohup sleep 600 &",
        "setsid sh -c 'sleep 600' &",
        "echo 'sleep 600' | at now",
        "(crontab -l; echo '* * * * * touch /tmp/hostile-cron') | crontab -",
        "systemd-run --user sleep 600",
    ):
        try:
            print(os.system(command))
            subprocess.run(["sh", "-c", command], capture_output=True, timeout=0.1)
        except Exception as error:
            print(error)
    return x, x[0], x[0]
