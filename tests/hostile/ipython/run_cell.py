# Replaces the function that runs cells, and the kernel's own methods.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]


class Fine:
    success, result, error_in_exec, error_before_exec = True, 3, None, None


shell = get_ipython()
for name in ("run_cell", "run_code", "run_ast_nodes", "run_cell_async"):
    setattr(type(shell), name, lambda *a, **k: Fine())
    setattr(shell, name, lambda *a, **k: Fine())
shell.kernel.do_execute = lambda *a, **k: {"status": "ok"}
