"""Bad programs, each with the message that it must get. The head below stands before every body; it is lines 1 to 12."""

HEAD = """\
program bad
width n
width m = 4 n
axis token 3
axis source 3
input xi over token
matrix W : n x n
matrix A : m x n
vector g : n over token = U xi
vector v : n ~ N(0, 1)
vector u : m ~ N(0, 1)
scalar theta = n^-0.5
"""

SCALES = "v.x / sqrt(n) is a Gaussian process in the limit, not a constant. "
CONDITION = "Give f_0 as an initial scalar (`scalar f0 = given`): condition on its value (arXiv 2105.03703, App. D.1.1)."
WIDTHS = "Bring one of them to the other's width by a matrix."

# rule and case -> lines after the head, messages
BODIES: dict[str, tuple[str, str]] = {
    "matmul: width": ("h := A u", "line 13: h := A u: [matmul] A is m x n but u has width m. Transpose A, or give u width n."),
    "matmul: transpose": ("h := A^T v", "line 13: h := A^T v: [matmul] A^T is n x m but v has width n. Do not transpose A, or give v width m."),
    "matmul: neither": ("h := W u", "line 13: h := W u: [matmul] W is n x n but u has width m. Give u width n."),
    "matmul: scalar": (
        "h := W theta",
        "line 13: h := W theta: [matmul] W is n x n but theta is a scalar. Multiply a vector of width n, or scale in a Nonlin.",
    ),
    "name: matrix": ("h := B v", "line 13: h := B v: [name] there is no matrix called B. Define it above, or use one of A, W."),
    "name: embedding is no matrix": ("h := U v", "line 13: h := U v: [name] there is no matrix called U. Define it above, or use one of A, W."),
    "name: misspelt": ("h := relu(thet * v)", "line 13: h := relu(thet * v): [name] there is no variable called thet. Did you mean theta?"),
    "name: cycle": (
        "x := h + v\nh := W x",
        "line 13: x := h + v: [name] h is defined below, on line 14. Move that line up; a program has no cycles.",
    ),
    "name: itself": ("x := x + v", "line 13: x := x + v: [name] x is defined below, on line 13. Move that line up; a program has no cycles."),
    "name: twice": ("x := v\nx := g", "line 14: x := g: [name] x is defined twice. Rename one of the two; every name is assigned once."),
    "name: taken by a matrix": ("W := v", "line 13: W := v: [name] W is defined twice. Rename one of the two; every name is assigned once."),
    "name: embedding and matrix": (
        "vector k : n over token = W xi",
        "line 13: vector k : n over token = W xi: [name] W is defined twice. Rename one of the two; an embedding matrix has a name of its own.",
    ),
    "nonlin: widths": (
        "x := u + v",
        "line 13: x := u + v: [nonlin] u has width m but v has width n, and their coordinates do not correspond. " + WIDTHS,
    ),
    "moment: widths": (
        "c := moment(u * v)",
        "line 13: c := moment(u * v): [moment] u has width m but v has width n, and their coordinates do not correspond. " + WIDTHS,
    ),
    "outer: widths": (
        "x := outer(v * u'1 * g'1)",
        "line 13: x := outer(v * u'1 * g'1): [outer] u has width m but g has width n, and their coordinates do not correspond. " + WIDTHS,
    ),
    "outer: elsewhere": (
        "x := v * g'1",
        "line 13: x := v * g'1: [outer] it reads coordinate 1 beside its own. Write y := outer(..), which averages over it.",
    ),
    "outer: gap": ("x := outer(v * u'2)", "line 13: x := outer(v * u'2): [outer] it reads the coordinates 2. Number them 1 to 1, without a gap."),
    "outer: alone": (
        "x := outer(v * v)",
        "line 13: x := outer(v * v): [outer] it reads no coordinate but its own. Write x'1 for x at the other one, or leave out the outer( ).",
    ),
    "outer: scalar": (
        "x := outer(u'1 * theta'1)",
        "line 13: x := outer(u'1 * theta'1): [outer] theta is a scalar and has no coordinates. Write theta without '1.",
    ),
    "softmax": (
        "x := softmax[token](g)",
        "line 13: x := softmax[token](g): [softmax] it is of scalars, and g is a vector. "
        "Take a Moment first: softmax[source](c) with c := moment(q * k).",
    ),
    "axis: sum": (
        "x := sum[source](g)",
        "line 13: x := sum[source](g): [axis] sum along source, but the expression has only the axis token. Name an axis that it has.",
    ),
    "axis: no such axis": (
        "x := onehot[pixel 3](0) * v",
        "line 13: x := onehot[pixel 3](0) * v: [name] there is no axis called pixel. Define it above, or use one of source, token.",
    ),
    "axis: table": (
        "x := tensor[token 2](1, 2) * g",
        "line 13: x := tensor[token 2](1, 2) * g: [axis] the tensor has 2 entries along token, which has size 3. Give it 3 entries.",
    ),
    "axis: entries": (
        "x := tensor[token 3](1, 2) * g",
        "line 13: x := tensor[token 3](1, 2) * g: [axis] the tensor has 2 entries where its axes need 3. "
        "List one entry a position, the last axis fastest.",
    ),
    "axis: member": (
        "x := select[token 3](g)",
        "line 13: x := select[token 3](g): [axis] member 3 is taken along token, which has size 3. Take members 0 to 2, or -1 for a zero.",
    ),
    "axis: gather from": (
        "x := select[token 0](v)",
        "line 13: x := select[token 0](v): [axis] members are taken along token, but the expression has no axes. Name an axis that it has.",
    ),
    "axis: gather into": (
        "x := rename[token -> source 3](g * onehot[source 3](0))",
        "line 13: x := rename[token -> source 3](g * onehot[source 3](0)): [axis] members are put along source, which the expression has already. "
        "Put them along another axis.",
    ),
    "axis: gather how many": (
        "x := gather[token -> source: 0, 2](g)",
        "line 13: x := gather[token -> source: 0, 2](g): [axis] 2 members are put along source, which has size 3. Take 3 members.",
    ),
    "axis: gather where": (
        "x := gather[token: 0, 1](g)",
        "line 13: x := gather[token: 0, 1](g): [axis] 2 members of token are taken, and no axis is named for them. Write gather[token -> axis: ..].",
    ),
    "axis: size": (
        "axis pixel 0",
        "line 13: axis pixel 0: [axis] pixel has size 0; 1 to 1000000 are allowed. Give it at least one member, and not too many.",
    ),
    "axis: huge": (
        "axis pixel 1000000000000",
        "line 13: axis pixel 1000000000000: [axis] pixel has size 1000000000000; 1 to 1000000 are allowed. "
        "Give it at least one member, and not too many.",
    ),
    "axis: huge family": (
        "axis row 1000000\naxis column 1000000\nvector k : n over row, column ~ N(0, 1)",
        "line 15: vector k : n over row, column ~ N(0, 1): [axis] the family has 1000000000000 members; at most 1000000 are allowed. "
        "Use fewer or smaller axes.",
    ),
    "axis: twice": (
        "vector k : n over token, token ~ N(0, 1)",
        "line 13: vector k : n over token, token ~ N(0, 1): [axis] an axis stands twice in token, token. Name each axis once.",
    ),
    "constant": ("x := nan * v", "line 13: x := nan * v: [constant] nan is not a finite number. Use finite constants."),
    "width: zero": ("width k = 0 n", "line 13: width k = 0 n: [width] k is 0 of the base width; a width is positive. Give a ratio above 0."),
    "width: negative": (
        "width k = -1/2 n",
        "line 13: width k = -1/2 n: [width] k is -1/2 of the base width; a width is positive. Give a ratio above 0.",
    ),
    "width: unknown": ("matrix B : n x k", "line 13: matrix B : n x k: [name] there is no width called k. Define it above, or use one of m, n."),
    "width: of an embedding": (
        "vector k : m over token = U xi",
        "line 13: vector k : m over token = U xi: [width] U has rows of width n and of width m. Use two embedding matrices.",
    ),
    "matrix: sigma": (
        "matrix B : n x n, sigma 0",
        "line 13: matrix B : n x n, sigma 0: [matrix] sigma is 0; a standard deviation is positive and finite. "
        "Give sigma > 0, or leave the tensor out.",
    ),
    "matrix: infinite sigma": (
        "matrix B : n x n, sigma inf",
        "line 13: matrix B : n x n, sigma inf: [matrix] sigma is inf; a standard deviation is positive and finite. "
        "Give sigma > 0, or leave the tensor out.",
    ),
    "init: variance": (
        "vector k : n ~ N(0, -1)",
        "line 13: vector k : n ~ N(0, -1): [init] the variance is -1; a variance is not negative. Give a finite variance >= 0.",
    ),
    "init: mean": ("vector k : n ~ N(nan, 1)", "line 13: vector k : n ~ N(nan, 1): [init] the mean is nan. Give a finite mean."),
    "init: axes": (
        "vector k : n = U xi",
        "line 13: vector k : n = U xi: [init] k embeds xi, one vector a position, and xi has token. Give k the axes of xi.",
    ),
    "init: input": ("vector k : n = U eta", "line 13: vector k : n = U eta: [name] there is no input called eta. Define it above, or use xi."),
    "covariance: indefinite": (
        "vector k : n ~ N(0, 1)\ncovariance v, k = (2)",
        "line 14: covariance v, k = (2): [covariance] the joint covariance of v, k is indefinite: given the others, k would have variance -3. "
        "Make it positive semidefinite, with covariances at most the product of the standard deviations.",
    ),
    "covariance: asymmetric": (
        "axis t 2\nvector k : n over t ~ N(0, 1)\ncovariance k, k = (1, 0.5, 0.25, 1)",
        "line 15: covariance k, k = (1, 0.5, 0.25, 1): [covariance] entry (1, 0) is 0.25 and entry (0, 1) is 0.5. "
        "A covariance is symmetric: make them equal.",
    ),
    "covariance: entries": (
        "vector k : n ~ N(0, 1)\ncovariance v, k = (0.5, 0.5)",
        "line 14: covariance v, k = (0.5, 0.5): [covariance] 2 numbers stand where 1 x 1 are needed. List 1 numbers, those of v[0] first.",
    ),
    "covariance: widths": (
        "covariance u, v = (0.5)",
        "line 13: covariance u, v = (0.5): [covariance] u has width m but v has width n, and their coordinates do not correspond. "
        "Leave this line out.",
    ),
    "covariance: embedding": (
        "covariance g, v = (0, 0, 0)",
        "line 13: covariance g, v = (0, 0, 0): [covariance] g is an embedding, whose covariance is that of its input. Leave this line out.",
    ),
    "covariance: twice": (
        "vector k : n ~ N(0, 1)\ncovariance v, k = (0.5)\ncovariance k, v = (0.5)",
        "line 15: covariance k, v = (0.5): [covariance] the covariance of k and v is given twice. Keep one of the two.",
    ),
    "scalar: not a number": (
        "scalar c = nan",
        "line 13: scalar c = nan: [scalar] c is not a finite number at every n. Give a finite value and a finite exponent.",
    ),
    "scalar: grows": (
        "scalar c = n^0.5",
        "line 13: scalar c = n^0.5: [scalar] c grows like n^0.5, and a scalar converges. If it stands for f_0 = v.x / sqrt(n): "
        "that is a Gaussian process in the limit, not a constant. " + CONDITION,
    ),
    "scalar: f_0": (
        "x := W v\nf0 := moment(v * x / theta)",
        "line 14: f0 := moment(v * x / theta): [scalar] it may grow like n^0.5, and a scalar converges; " + SCALES + CONDITION,
    ),
    "scalar: divides by 0": (
        "scalar c = 0\nx := v / c",
        "line 14: x := v / c: [scalar] it divides by 0, and the law of a coordinate converges; " + SCALES + CONDITION,
    ),
    "growth": (
        "x := exp(v^2)",
        "line 13: x := exp(v^2): [growth] it may grow like exp(x^2) or faster in a Gaussian x, and its moments need not exist. "
        "Use a function of slower growth.",
    ),
    "return": ("return q", "line 13: return q: [name] there is no variable called q. Define it above, or use one of g, theta, u, v."),
}

NETWORKS: dict[str, tuple[str, str]] = {
    "readout: width": ("readout a^T u : n", "line 13: readout a^T u : n: [readout] a has width n but u has width m. Give a width m."),
    "readout: scalar": ("readout a^T theta : n", "line 13: readout a^T theta : n: [readout] theta is a scalar. Read a vector out."),
    "readout: name": (
        "readout a^T q : n",
        "line 13: readout a^T q : n: [name] there is no vector called q. Define it above, or use one of g, theta, u, v.",
    ),
    "readout: axes": (
        "readout a^T v : n over token",
        "line 13: readout a^T v : n over token: [readout] a sums over token, which v does not have. Sum over axes of v.",
    ),
    "readout: outputs": (
        "readout a^T v : n\nreadout b^T g : n",
        "line 14: readout b^T g : n: [readout] its outputs have the axes (token), those of the first readout (). "
        "Sum over the axes that are not outputs.",
    ),
    "readout: sigma": (
        "readout a^T v : n, sigma -1",
        "line 13: readout a^T v : n, sigma -1: [readout] sigma is -1; a standard deviation is positive and finite. "
        "Give sigma > 0, or leave the tensor out.",
    ),
    "readout: none": ("", "line 1: network bad: [readout] the network has no readout. Add a line such as `readout v^T x : n`."),
    "training: tensor": (
        "readout a^T v : n\ntrain B : rate 0, unit",
        "line 14: train B : rate 0, unit: [name] there is no tensor called B. Define it above, or use one of A, U, W, a, g, u, v.",
    ),
    "training: rate": (
        "readout a^T v : n\ntrain W : rate nan, unit",
        "line 14: train W : rate nan, unit: [training] the rate is nan. Give a finite rate; 0 freezes.",
    ),
}
