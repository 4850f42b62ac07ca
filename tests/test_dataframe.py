"""Tables: a fixed schema, every cell checked, two paths with the same answers."""

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC

import hybridcert as hc
from hybridcert.adapters.onehot_linear import OneHotLinear
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.streams import Stage

NUMERIC, CATEGORICAL = ["age", "hours"], ["job", "home", "city"]


def table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "job": rng.choice(["clerk", "cook", "nurse", None], n),
            "age": rng.integers(18, 80, n),
            "home": rng.choice([True, False], n),
            "hours": rng.normal(40, 10, n),
            "city": pd.Categorical(rng.choice(["x", "y"], n), categories=["x", "y", "z"]),
        },
        index=[f"r{i}" for i in range(n)],
    )


def target(X):
    score = (X["job"] == "cook") * 1.0 + (X["age"] > 50) + X["home"].astype(bool) * 0.5
    return np.where(score > 1.2, "in", "out")


def pipeline(final, scaler=None):
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), CATEGORICAL), (scaler or StandardScaler(), NUMERIC)
    )
    return make_pipeline(encode, final)


def classifier(final=None, X=None, **options):
    X = table() if X is None else X
    model = pipeline(final or LinearSVC())
    return hc.DataFrameClassifier(
        model.fit(X, target(X)), X, numeric=NUMERIC, categorical=CATEGORICAL, **options
    )


def smoothed(base):
    noise = {"categorical": hc.UniformReplacement(0.3), "numeric": hc.GaussianNoise(0.5)}
    return hc.SmoothedClassifier(base, noise=noise)


def test_missing_values_are_a_category_and_unused_levels_of_a_dtype_count():
    surfaces = classifier().surfaces()
    assert surfaces["categorical"].alphabet_sizes == (4, 2, 3)
    assert surfaces["numeric"].unit == "standard deviations of the training columns"


def test_decoding_undoes_encoding():
    base, X = classifier(), table(seed=1)
    back = base.schema_.decode(base.encode(X))
    pd.testing.assert_frame_equal(
        back[CATEGORICAL].reset_index(drop=True), X[CATEGORICAL].reset_index(drop=True), check_dtype=False
    )
    assert np.allclose(back[NUMERIC], X[NUMERIC])
    assert isinstance(back["city"].dtype, pd.CategoricalDtype)
    assert list(back.columns) == list(X.columns)


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_any_storage_of_strings_gives_the_same_counts(dtype):
    X = table().astype({"job": dtype})
    counts = smoothed(classifier(X=X)).counts(X.head(5), samples=200, seed=1)
    expected = smoothed(classifier()).counts(table().head(5), samples=200, seed=1)
    assert np.array_equal(counts, expected)


def broken(column, value):
    X = table(5, seed=1)
    X[column] = X[column].astype(object)
    X.loc["r3", column] = value
    return X


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (broken("age", np.nan), "numeric column 'age', row 'r3': values must be finite, got nan"),
        (broken("hours", np.inf), "numeric column 'hours', row 'r3': values must be finite, got inf"),
        (broken("age", "old"), "numeric column 'age' holds a value that is not a number"),
        (broken("job", "pilot"), "column 'job', row 'r3': unseen category 'pilot'; allowed: 'clerk', 'cook'"),
        (broken("home", None), "column 'home', row 'r3': unseen category missing; allowed: False, True"),
        (broken("job", ["a"]), "column 'job' holds cells that cannot be categories"),
        (table(5).drop(columns="city"), "missing column 'city'"),
        (table(5)[["job", "job", "age", "home", "hours", "city"]], "duplicate column 'job'"),
        (table(5).head(0), "0 sample"),
        (np.zeros((3, 5)), "X must be a data frame as in training, got ndarray"),
    ],
)
def test_broken_tables_are_refused_in_one_line(X, message):
    with pytest.raises(hc.DataError, match=message) as caught:
        classifier().encode(X)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numeric": ["age"], "categorical": CATEGORICAL}, "'hours' is neither numeric nor categorical"),
        ({"numeric": ["age", "pay"], "categorical": CATEGORICAL}, "missing column 'pay'"),
        ({"numeric": ["age", "job"], "categorical": CATEGORICAL}, "'job' is listed more than once"),
        ({"immutable": ["pay"]}, "immutable column 'pay' is not among"),
        ({"scale": {"age": 1.0}}, "scale must give a unit for every numeric column, 'hours' is missing"),
        ({"scale": {"age": 0.0, "hours": 1.0}}, "scale of 'age' must be > 0, got 0.0"),
        ({"scale": {"age": 1.0, "hours": 1.0, "pay": 1.0}}, "scale names 'pay'"),
        ({"levels": {"city": ["x"]}}, "levels of column 'city' are those of its category dtype"),
        ({"levels": {"job": ["cook"]}}, "column 'job', row 'r0': unseen category"),
        ({"encoded": "yes"}, "encoded must be 'auto' or 'never', got 'yes'"),
    ],
)
def test_broken_declarations_are_refused(options, message):
    X = table().sort_values("job", key=lambda c: c.fillna("zzz"))
    X.index = [f"r{i}" for i in range(len(X))]
    with pytest.raises(ValueError, match=message):
        hc.DataFrameClassifier(LinearSVC(), X, **({"numeric": NUMERIC, "categorical": CATEGORICAL} | options))


def test_declared_levels_widen_the_alphabet_and_admit_new_values():
    base = classifier(levels={"home": [True, False, None], "job": ["clerk", "cook", "nurse", "pilot", None]})
    assert base.surfaces()["categorical"].alphabet_sizes == (5, 3, 3)
    base.encode(broken("job", "pilot"))


def test_immutable_columns_receive_no_noise():
    base = classifier(immutable=["job", "age"])
    surfaces = base.surfaces()
    inputs, law = base.encode(table(1)), SmoothingNoise(smoothed(base).noise, surfaces)
    noisy = base.schema_.decode(law.draw(inputs, 0, 500, b"k" * 16, stage=Stage.ESTIMATE, block=0))
    assert noisy["job"].nunique(dropna=False) == noisy["age"].nunique() == 1
    assert noisy["home"].nunique() == 2
    assert noisy["hours"].nunique() == 500
    assert surfaces["categorical"].eligible == (1, 2)
    assert surfaces["numeric"].eligible == (1,)
    with pytest.raises(hc.ParameterError, match="d must be at most the number of eligible positions, 2"):
        smoothed(base).certify(table(3), threat=hc.Fields(3), samples=10, alpha=0.1, threshold=0.5, seed=0)


def test_noise_is_drawn_in_declared_units():
    X = table()
    base = hc.DataFrameClassifier(
        pipeline(LinearSVC()).fit(X, target(X)), X, numeric=NUMERIC, scale={"age": 10.0, "hours": 0.5}
    )
    encoded = base.encode(X)
    assert np.allclose(encoded["numeric"] * [10.0, 0.5], X[NUMERIC])
    assert base.surfaces()["numeric"].unit == "declared column units"


@pytest.mark.parametrize("final", [LinearSVC(), LogisticRegression()])
@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), "passthrough"])
def test_the_encoded_path_gives_the_answers_of_the_pipeline(final, scaler):
    X = table()
    model = pipeline(final, scaler).fit(X, target(X))
    fast = hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL)
    slow = hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL, encoded="never")
    assert (fast.path, slow.path) == ("encoded", "generic")
    test = table(20, seed=2)
    assert np.array_equal(
        smoothed(fast).counts(test, samples=3_000, seed=0), smoothed(slow).counts(test, samples=3_000, seed=0)
    )


def test_the_encoded_path_handles_several_classes():
    X = table()
    y = np.where(X["age"] > 60, "old", target(X))
    model = pipeline(LogisticRegression()).fit(X, y)
    fast = hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL)
    assert fast.path == "encoded"
    batch = fast.encode(table(300, seed=3))
    assert np.array_equal(fast.classes_[fast.predict_encoded(batch)], model.predict(table(300, seed=3)))


@pytest.mark.parametrize(
    "model",
    [
        pipeline(SVC()),
        pipeline(RandomForestClassifier(n_estimators=5)),
        pipeline(LinearSVC(), make_pipeline(StandardScaler(), PolynomialFeatures(2))),
        pipeline(LinearSVC(), MinMaxScaler(clip=True)),
    ],
)
def test_models_that_are_not_one_hot_linear_take_the_generic_path(model):
    X = table()
    base = hc.DataFrameClassifier(model.fit(X, target(X)), X, numeric=NUMERIC, categorical=CATEGORICAL)
    assert base.path == "generic"
    assert np.array_equal(base.classes_[base.predict_encoded(base.encode(X))], model.predict(X))


def agrees(base, X):
    return np.array_equal(base.classes_[base.predict_encoded(base.encode(X))], base.estimator.predict(X))


def test_the_encoded_path_follows_a_pipeline_that_changes_after_its_first_use():
    base, X = classifier(), table(200, seed=6)
    assert base.path == "encoded"
    assert agrees(base, X)
    base.estimator[-1].coef_ = -base.estimator[-1].coef_
    base.estimator[-1].intercept_ = -base.estimator[-1].intercept_
    assert agrees(base, X)
    base.estimator.fit(X, np.where(target(X) == "in", "out", "in"))
    assert agrees(base, X)
    base.set_params(estimator=pipeline(LogisticRegression()).fit(X, target(X)))
    assert agrees(base, X)


def test_the_audit_stops_an_encoded_path_that_disagrees():
    base, X = classifier(), table(300)
    fast = OneHotLinear.extract(base.estimator, base.schema_)
    wrong = dataclasses.replace(fast, intercept=-fast.intercept, tables=[-t for t in fast.tables])
    with pytest.raises(hc.ModelError, match="the encoded path disagrees with the pipeline"):
        wrong.predict(base.encode(X), base.predict_encoded)


def test_rows_at_a_tie_are_left_to_the_pipeline():
    fast = OneHotLinear(np.array([0.0]), [], np.array([[1.0]]), audited=True)
    asked = []

    def generic(batch):
        asked.extend(batch["numeric"][:, 0].tolist())
        return np.ones(len(batch["numeric"]), dtype=np.intp)

    batch = {"numeric": np.array([[1.0], [0.0], [-1.0], [1e-12]])}
    assert fast.predict(batch, generic).tolist() == [1, 1, 0, 1]
    assert asked == [0.0, 1e-12]


def test_steps_that_bend_a_numeric_column_take_the_generic_path():
    X = table()
    X["age"] = X["age"].where(X["age"] > 30, 999)
    for step in (SimpleImputer(missing_values=999), OneHotEncoder(handle_unknown="ignore")):
        encode = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), CATEGORICAL),
            (step, ["age"]),
            (StandardScaler(), ["hours"]),
        )
        model = make_pipeline(encode, LogisticRegression(max_iter=500)).fit(X, target(X))
        base = hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL, immutable=["age"])
        assert base.path == "generic"
        assert agrees(base, X)


def test_a_subclass_with_an_answer_of_its_own_takes_the_generic_path():
    class Cautious(LogisticRegression):
        def predict(self, X):
            return np.where(self.predict_proba(X)[:, 0] > 0.9, self.classes_[0], self.classes_[1])

    base = classifier(Cautious())
    assert base.path == "generic"
    assert agrees(base, table())


def test_immutable_numbers_pass_through_unchanged():
    X = pd.DataFrame({"year": np.arange(1900.0, 2030.0), "x": np.arange(130.0) ** 1.5})
    base = hc.DataFrameClassifier(LogisticRegression(), X, immutable=["year"])
    assert (base.schema_.decode(base.encode(X))["year"] == X["year"]).all()


def test_parameters_set_later_count():
    base = classifier()
    base.set_params(immutable=["age"])
    assert base.surfaces()["numeric"].eligible == (1,)


def test_a_column_without_a_finite_spread_is_refused():
    X = pd.DataFrame({"a": [1e200, -1e200, 3.0], "b": [1.0, 2.0, 3.0]})
    with pytest.raises(hc.DataError, match="'a': its standard deviation is no finite number"):
        hc.DataFrameClassifier(LogisticRegression(), X)


def test_estimators_that_do_not_classify_are_refused():
    X = table()
    base = hc.DataFrameClassifier(pipeline(KMeans(2)), X, numeric=NUMERIC, categorical=CATEGORICAL)
    with pytest.raises(hc.ModelError, match="is not a classifier"):
        smoothed(base).fit(X, target(X), seed=0)


def test_native_categories_reach_the_model_as_they_were_trained():
    X = table()
    X["job"] = X["job"].astype("category")
    X["home"] = X["home"].astype("category")
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5).fit(X, target(X))
    base = hc.DataFrameClassifier(model, X, numeric=NUMERIC, categorical=CATEGORICAL)
    assert smoothed(base).counts(X.head(3), samples=50, seed=0).sum() == 150


def test_training_on_noisy_copies_and_certifying_end_to_end():
    X = table(600)
    base = hc.DataFrameClassifier(pipeline(LinearSVC()), X, numeric=NUMERIC, categorical=CATEGORICAL)
    model = smoothed(base).fit(X, target(X), noisy_copies=3, seed=0)
    run = model.certify(X.head(50), threat=hc.Fields(2), samples=1_000, alpha=0.01, threshold=0.5, seed=1)
    table_ = run.certified_accuracy(target(X)[:50], d=[0, 1, 2], eps=[0.0, 0.25, 0.5])
    assert table_.loc[0, 0.0] > 0.5
    assert (table_.diff(axis=0).iloc[1:] <= 0).all(axis=None)
    assert (table_.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert list(run.frame()["input"][:2]) == ["r0", "r1"]


def test_the_absorbing_kernel_needs_a_mask_symbol():
    model = hc.SmoothedClassifier(classifier(), noise={"categorical": hc.Absorbing(0.5)})
    with pytest.raises(hc.ParameterError, match="a mask symbol, this one has none"):
        model.counts(table(2), samples=10, seed=0)


def test_the_deletion_kernel_needs_a_sequence():
    model = hc.SmoothedClassifier(classifier(), noise={"categorical": hc.RandomDeletion(0.5)})
    with pytest.raises(hc.ParameterError, match="this one reads fixed positions"):
        model.counts(table(2), samples=10, seed=0)


def test_a_classifier_survives_pickling():
    base = classifier()
    base.path  # noqa: B018 (builds the tables)
    again = pickle.loads(pickle.dumps(base))
    batch = base.encode(table(50, seed=4))
    assert np.array_equal(again.predict_encoded(batch), base.predict_encoded(batch))


def test_an_untrained_classifier_says_so():
    X = table()
    base = hc.DataFrameClassifier(LinearSVC(), X, numeric=NUMERIC, categorical=CATEGORICAL)
    with pytest.raises(ValueError, match="not trained"):
        smoothed(base).counts(X, samples=10, seed=0)
    with pytest.raises(hc.ModelError, match="columns are not known yet"):
        hc.DataFrameClassifier(LinearSVC()).encode(X)
