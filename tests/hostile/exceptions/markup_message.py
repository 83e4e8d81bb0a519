# Raises exceptions with HTML in the message and in the name of the class.
# expect: 17 test_train=0
# rest: right

# %% train
Odd = type("<script>alert('hostile')</script>", (Exception,), {})


def batch_norm_train(x, gamma, beta, eps=1e-5):
    raise Odd("</pre><script>alert('hostile')</script><img src=x onerror=alert(1)>")
