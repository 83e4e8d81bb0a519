# Text that is no text: half a character, NUL, and every control character.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    print("\ud800\udfff\x00" + "".join(map(chr, range(256))))
    raise ValueError("\ud800\x00\x1b[31m\x1b]0;hostile\x07\u202e" + chr(0x10FFFF))
